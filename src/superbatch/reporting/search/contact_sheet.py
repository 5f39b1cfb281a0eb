"""Answers as one picture: for each query the images found, the runs beside each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from superbatch.reporting.search.answers import Answer, Hit

SIDE, GAP, LINE = 96, 10, 18  # pixels: an image, what is between two, a line of text
COLUMNS = 4  # images of a run beside each other
HEAD = 30  # pixels above a query's images
INK, MUTED, GROUND = "#1b1f24", "#5d6773", "#ffffff"


def contact_sheet(answers: list[Answer]) -> Image.Image:
    """Draw the answers, one query below the other: each image with the beginning of its caption."""
    tall = [_height(answer) for answer in answers]
    runs = max(len(answer.hits) for answer in answers)
    sheet = Image.new("RGB", (runs * _run_width() + GAP, sum(tall) + GAP), GROUND)
    draw, top = ImageDraw.Draw(sheet), GAP
    for answer, height in zip(answers, tall, strict=True):
        draw.text((GAP, top), _cut(answer.query, _font(18), sheet.width - 2 * GAP), INK, _font(18))
        for number, (run, hits) in enumerate(answer.hits.items()):
            _draw_run(sheet, draw, run, hits, (GAP + number * _run_width(), top + HEAD))
        top += height
    return sheet


def _draw_run(sheet: Image.Image, draw: ImageDraw.ImageDraw, run: str, hits: list[Hit], place: tuple[int, int]) -> None:
    left, top = place
    draw.text((left, top), run, MUTED, _font(14))
    for number, hit in enumerate(hits):
        row, column = divmod(number, COLUMNS)
        x, y = left + column * (SIDE + GAP), top + LINE + row * (SIDE + GAP + LINE)
        picture = Image.fromarray(np.ascontiguousarray(hit.image.transpose(1, 2, 0)))
        sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
        draw.text((x, y + SIDE + 2), _cut(hit.caption, _font(11), SIDE), MUTED, _font(11))


def _run_width() -> int:
    return COLUMNS * (SIDE + GAP) + GAP


def _height(answer: Answer) -> int:
    rows = max(-(-len(hits) // COLUMNS) for hits in answer.hits.values())
    return HEAD + LINE + rows * (SIDE + GAP + LINE) + GAP


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that Matplotlib brings: it has more scripts than Pillow's own."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return as much of a text as there is room for, on one line."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
