"""Small parts of a page: sections, notes, tables, pictures. All text goes through `escape`."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import pandas as pd

from superbatch.reporting.style import CSS

Pictures = dict[str, tuple[str, str]]

LONG_CELL = 18  # characters; longer cells may wrap
SHORT_TABLE = 12  # rows; longer ones are folded


def document(title: str, header: str, sections: Iterable[str]) -> str:
    """A whole page that needs no other file and runs no script."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>'
    icon = '<link rel="icon" href="data:,">'  # or a browser asks the server for one
    body = f"<header>{header}</header><main>{''.join(sections)}</main>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}{icon}<style>{CSS}</style></head><body>{body}</body></html>\n'


def tiles(numbers: Iterable[tuple[str, str]]) -> str:
    """The few numbers to remember, each with what it is."""
    cells = (f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in numbers)
    return f'<div class="tiles">{"".join(cells)}</div>'


def section(name: str, title: str, lead: str, content: str) -> str:
    """One question of the page with its answer; `lead` is a sentence below the title, or empty."""
    words = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(title)}</h2>{words}{content}</section>'


def note(text: str) -> str:
    """A remark in small print."""
    return f'<p class="note">{escape(text)}</p>'


def link(words: str, place: str) -> str:
    """Words that lead to a file beside the page."""
    return f'<p class="note"><a href="{escape(place)}">{escape(words)}</a></p>'


def missing(sentence: str) -> str:
    """A sentence in the place of what can't be shown; nothing for an empty one."""
    return f'<p class="missing">{escape(sentence)}</p>' if sentence else ""


def bullets(lines: list[str]) -> str:
    """Sentences as a list; nothing for none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="findings">{items}</ul>' if items else ""


def folded(summary: str, content: str) -> str:
    """Content that a reader opens."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def picture(pictures: Pictures, name: str, alt: str, caption: str, otherwise: str = "") -> str:
    """A figure for light and for dark, with a caption; a sentence where there is none to show."""
    if name not in pictures:
        return missing(otherwise)
    # Two images rather than one <picture>: a browser that prints does not choose a source anew.
    shown = "".join(
        f'<img class="{theme}" src="{uri}" alt="{escape(alt)}">'
        for theme, uri in zip(("light", "dark"), pictures[name], strict=True)
    )
    return f'<figure class="plot {name}">{shown}<figcaption>{escape(caption)}</figcaption></figure>'


def table(cells: pd.DataFrame, caption: str, otherwise: str = "", strong: set[int] | None = None) -> str:
    """Text cells as a table that scrolls inside itself where a window is too narrow; rows in `strong` stand out."""
    if cells.empty:
        return missing(otherwise)
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in cells.columns)
    rows = "".join(
        _row(row, number in (strong or set())) for number, row in enumerate(cells.itertuples(index=False, name=None))
    )
    words = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = f"<table>{words}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{escape(caption or cells.columns[0])}">{body}</div>'
    )


def facts(values: dict[str, object]) -> str:
    """Names and values, one a line; those without a value are left out."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(str(value))}</code></td></tr>'
        for name, value in values.items()
        if value not in (None, "")
    )
    return f'<table class="facts">{rows}</table>'


def _row(row: tuple[object, ...], strong: bool) -> str:
    first = f'<th scope="row">{escape(str(row[0]))}</th>'
    return f"<tr{' class=strong' if strong else ''}>{first}{''.join(map(_cell, row[1:]))}</tr>"


def _cell(value: object) -> str:
    text = str(value)
    return f'<td class="long">{escape(text)}</td>' if len(text) > LONG_CELL else f"<td>{escape(text)}</td>"
