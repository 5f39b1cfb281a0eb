"""Figures as files: PNG for folders, SVG inside a page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from superbatch.reporting.parts import Picture
from superbatch.reporting.theme import in_dark

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png(figure: Figure, *, transparent: bool = True, dpi: int = 144) -> bytes:
    """Render a figure to PNG bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, transparent=transparent, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """Render a figure of `new_figure` to SVG on a clear ground: sharp at any size and on paper; same figure, same text.

    The figure serves for this alone: it loses its ground. Its canvas is asked directly, since `savefig` draws twice.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure.set_facecolor("none")
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "superbatch", "svg.fonttype": "path", "path.simplify": True}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    return text.getvalue()


def picture(figure: Figure) -> Picture:
    """Render a figure in light colours for a page; the one for dark ground is the same drawing in other colours."""
    light = svg(figure)
    return Picture(_uri(light), _uri(in_dark(light)))


def _uri(text: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode("ascii")
