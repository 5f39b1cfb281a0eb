"""The gallery's shelves as HTML: image, caption, numbers, and what a simulated pair really is."""

from __future__ import annotations

from html import escape

import numpy as np

from superbatch.reporting import html
from superbatch.reporting.gallery import Item, Shelf

SHELF = 12  # samples of a shelf that are shown at once


def shelf(shelf: Shelf) -> str:
    """One shelf of a gallery: the first samples, the rest folded away."""
    shown, rest = shelf.items[:SHELF], shelf.items[SHELF:]
    more = html.folded(f"{len(rest)} more", _items(rest)) if rest else ""
    return f"<h3>{escape(shelf.title)}</h3>{html.note(shelf.what)}{_items(shown)}{more}"


def _items(items: list[Item]) -> str:
    return f'<div class="shelf">{"".join(map(_item, items))}</div>'


def _item(item: Item) -> str:
    image = (
        f'<img src="{item.picture}" alt="{escape(_alt(item))}">'
        if item.picture
        else '<div class="blank">no image</div>'
    )
    caption = escape(item.caption) or "(no caption)"
    numbers = escape(item.note) if item.note else f"score {_score(item.score)} · step {item.step:,}"
    words = f"{caption}<small>{numbers}</small>{_kind(item.kind)}"
    return f'<figure class="item">{image}<figcaption>{words}</figcaption></figure>'


def _alt(item: Item) -> str:
    # The caption stands below already, and need not be true of the image.
    return f"image of row {item.row}"


def _score(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if np.isfinite(value) else "–"


def _kind(kind: str | None) -> str:
    if not kind:
        return ""
    return f'<em class="kind {"good" if kind == "clean" else "bad"}">{escape(kind.replace("_", " "))}</em>'
