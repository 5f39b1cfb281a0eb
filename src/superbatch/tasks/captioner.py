"""A captioner of the user's: a function, named by its import path, that gives images of the pool other captions.

    def caption(pool: Manifest, rows: np.ndarray, **options) -> Sequence[str | None]

`pool` is the ingested set: `ImageReader(pool, 224).read(rows)` (`superbatch.data.reader`) gives the images, `pool.captions(rows)` what they are
called, `pool.column("source")` their JSON. The function returns a caption for each row, in their order, or None where it has none to give.
It should give the same captions for the same arguments: a run that was killed asks again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from superbatch.data.manifest import Manifest
from superbatch.errors import UserError

Captioner = Callable[..., Sequence[str | None]]
SETTING, OPTIONS = "bootstrap.captioner", "bootstrap.captioner_options"


def find_captioner(path: str, options: Mapping[str, Any]) -> Captioner:
    """Import a captioner and see that it takes its arguments.

    Args:
        path: `package.module:function`.
        options: its keyword arguments.

    Raises:
        UserError: there is no such function, or it does not take these.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name) if module and name else None
    except (ImportError, AttributeError) as error:
        raise UserError(
            SETTING, f"{path!r} cannot be imported ({error})", "name it as package.module:function"
        ) from None
    if not callable(found):
        raise UserError(SETTING, f"{path!r} is not a function", "name it as package.module:function")
    try:
        inspect.signature(found).bind(None, None, **options)
    except TypeError as error:
        what = f"{path} does not take a pool, rows and {sorted(options)} ({error})"
        raise UserError(OPTIONS, what, f"its arguments: {', '.join(inspect.signature(found).parameters)}") from None
    captioner: Captioner = found
    return captioner


def write_captions(path: str, options: Mapping[str, Any], pool: Manifest, rows: np.ndarray) -> dict[int, str]:
    """Have a captioner write captions for rows of a pool; returns them by row, without those that it has none for.

    Raises:
        UserError: as `find_captioner`; it does not return one caption a row.
    """
    found = list(find_captioner(path, options)(pool, rows, **options))
    if len(found) != len(rows):
        raise UserError(
            SETTING, f"{path} gave {len(found):,} captions for {len(rows):,} rows", "return one for each row"
        )
    for caption in found:
        if not isinstance(caption, str | None):
            raise UserError(SETTING, f"{path} gave {caption!r} for a caption", "return text, or None for no caption")
    return {int(row): text.strip() for row, text in zip(rows, found, strict=True) if text and text.strip()}
