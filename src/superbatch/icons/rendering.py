"""Drawings as pictures: black on white, square, at a size."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superbatch.data.writing import encode_image
from superbatch.extras import require_packages
from superbatch.icons.sets import Drawing

INVALID, BLANK = "invalid", "blank"  # reasons for a drawing without a picture
REASONS = {INVALID: "resvg can't read it", BLANK: "white on white, or nothing at all"}
_FAINT = 240  # a picture with nothing darker than this is empty


class Unrenderable(ValueError):
    """A drawing without a picture; its first argument is one of `REASONS`."""


def require_resvg() -> None:
    """Make sure that there is something to render with.

    Raises:
        UserError: resvg-py is not installed.
    """
    require_packages("icons", "icons", "resvg_py")


def svg_of(drawing: Drawing) -> str:
    """Return a drawing as a whole SVG: black where it leaves the colour open, in the middle of a square."""
    left, top, width, height = drawing.box
    side = max(width, height)
    box = f"{left - (side - width) / 2:g} {top - (side - height) / 2:g} {side:g} {side:g}"
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {names} viewBox="{box}">{drawing.body.replace("currentColor", "#000")}</svg>'


def render(drawing: Drawing, size: int) -> bytes:
    """Return a drawing as PNG bytes, RGB, size x size pixels on white; the same bytes for the same pixels.

    Raises:
        Unrenderable: it has no picture.
    """
    import resvg_py

    try:
        # Without skip_system_fonts it looks through all fonts each time; the few drawings with letters in them lose these.
        png = resvg_py.svg_to_bytes(
            svg_string=svg_of(drawing), width=size, height=size, background="white", skip_system_fonts=True
        )
    except ValueError:
        raise Unrenderable(INVALID) from None
    picture: NDArray[np.uint8] = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    if picture.min() > _FAINT:
        raise Unrenderable(BLANK)
    return encode_image(picture, "png")
