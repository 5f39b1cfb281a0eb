"""Figures as files: PNG for folders, SVG inside a page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from markupsafe import Markup

from superbatch.reporting.parts import Picture
from superbatch.reporting.templating import cleaned
from superbatch.reporting.theme import PAGE, PHONE, Theme, in_variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Draw = Callable[[Theme], Figure]


def png(figure: Figure, *, transparent: bool = True, dpi: int = 144) -> bytes:
    """Render a figure to PNG bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, transparent=transparent, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure, salt: str = "") -> str:
    """Render a figure of `new_figure` to SVG that stands inside a page: its text is text, its colours are the page's.

    The figure serves for this alone: it loses its ground. Its canvas is asked directly, since `savefig` draws twice.

    Args:
        salt: what tells its marks from those of other figures in the page.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure.set_facecolor("none")
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "path.simplify": True}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    return in_variables(_inline(text.getvalue()))


def _inline(drawing: str) -> str:
    """Strip a file to be inlined: headers, namespaces, its own size and fonts, and ids that nothing refers to."""
    start = drawing.index("<svg")
    size = re.search(r'viewBox="[^"]+"', drawing)
    assert size is not None, "an SVG by matplotlib has a viewBox"
    body = drawing[drawing.index(">", start) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"font: (?:(bold|\d{3}) )?([\d.]+)px [^;\"]*", _font, body).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="|url\()#(\w+)', body))
    body = re.sub(r' id="([^"]*)"', lambda name: name[0] if name[1] in used else "", body)
    return f"<svg {size[0]}>{body.strip()}"


def _font(found: re.Match[str]) -> str:
    weight = f"font-weight: {found[1]}; " if found[1] else ""
    return f"{weight}font-size: {found[2]}px"


def picture(draw: Draw, salt: str, wide: Theme = PAGE) -> Picture:
    """Draw a figure for a page and for a phone.

    Args:
        draw: makes the figure anew for a theme. salt: its name in the page. wide: how it looks where there is room.
    """
    return Picture(*(Markup(cleaned(svg(draw(theme), f"{salt} {theme.name}"))) for theme in (wide, PHONE)))
