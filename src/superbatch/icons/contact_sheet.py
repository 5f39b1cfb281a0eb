"""A contact sheet: some samples of each part with their captions, in one PNG."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

COLUMNS, ROWS = 10, 4  # of each part
_CELL, _PICTURE, _TITLE = (120, 100), 64, 34  # pixels
_INK, _GREY = "#222222", "#777777"
_CHARACTERS = 21  # of a caption that a cell has room for


def write_contact_sheet(path: Path, parts: Mapping[str, Path]) -> None:
    """Draw some samples of each of some shards, evenly spaced.

    Args:
        path: of the PNG.
        parts: title -> a shard.
    """
    height = _TITLE + ROWS * _CELL[1]
    sheet = Image.new("RGB", (COLUMNS * _CELL[0], len(parts) * height), "white")
    draw, large, small = ImageDraw.Draw(sheet), ImageFont.load_default(18), ImageFont.load_default(11)
    for number, (title, shard) in enumerate(parts.items()):
        top = number * height
        draw.text((10, top + 8), title, fill=_INK, font=large)
        for place, (picture, caption) in enumerate(_spaced(list(_samples(shard)))):
            row, column = divmod(place, COLUMNS)
            x, y = column * _CELL[0], top + _TITLE + row * _CELL[1]
            sheet.paste(picture.resize((_PICTURE, _PICTURE), Image.Resampling.NEAREST), (x + 28, y + 4))
            draw.text((x + _CELL[0] // 2, y + _PICTURE + 20), _short(caption), fill=_GREY, font=small, anchor="mm")
    sheet.save(path, format="PNG", optimize=True)


def _spaced(samples: list[tuple[Image.Image, str]]) -> list[tuple[Image.Image, str]]:
    """Take as many as a part has room for, from first to last."""
    room = min(COLUMNS * ROWS, len(samples))
    return [samples[len(samples) * place // room] for place in range(room)]


def _samples(shard: Path) -> Iterator[tuple[Image.Image, str]]:
    """Yield picture and caption of each sample."""
    with tarfile.open(shard) as tar:
        picture = None
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            if member.name.endswith(".png"):
                picture = Image.open(io.BytesIO(stream.read()))
            elif member.name.endswith(".txt") and picture is not None:
                yield picture, stream.read().decode()


def _short(caption: str) -> str:
    return caption if len(caption) <= _CHARACTERS else caption[: _CHARACTERS - 1] + "…"
