"""Progress bars with an ETA, on stderr; plain lines now and then where nobody watches a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    description: str,
    unit: str = "it",
) -> Any:
    """Wrap an iterable (or make a bar to `update`) as a tqdm bar with count, rate and time left.

    The bar starts at `initial`, what was done earlier: rate and time left are of what is done now.

    A log file gets a line every ten seconds instead of a line a tick. Of several ranks the first alone shows it; none does where
    tqdm's own TQDM_DISABLE is set, as in notebooks.
    """
    from tqdm import tqdm

    watched = sys.stderr.isatty()
    silent = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return tqdm(
        iterable,
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        file=sys.stderr,
        mininterval=0.2 if watched else 10,
        maxinterval=1 if watched else 30,
        delay=0.5,
        dynamic_ncols=watched,
        ascii=None if watched else " #",
        disable=silent or os.environ.get("RANK", "0") != "0",
    )
