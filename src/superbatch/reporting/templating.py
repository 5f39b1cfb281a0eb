"""HTML pages from the Jinja2 templates in `templates/`: everything put into them is escaped, and a page needs no other file."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from superbatch.reporting.names import words
from superbatch.reporting.theme import stylesheet

# Characters that HTML can't contain: control characters except tab and line ends, and lone surrogates, which UTF-8 can't encode.
_UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def render(template: str, **context: object) -> str:
    """Render a page.

    Args:
        template: its path below `templates/`, such as `report.html.j2`. It extends `base.html.j2`.
        context: what the template names. Text is escaped; a name that is missing is an error.

    Returns:
        HTML: one file that asks for no other.
    """
    return _environment().get_template(template).render(context)


def cleaned(value: object) -> object:
    """Put U+FFFD in the place of characters that HTML can't hold; what is no text, or escaped already, stays as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", value)


def inline(name: str) -> Markup:
    """Return a stylesheet or script of `templates/` unchanged, to put inside the page."""
    environment = _environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])  # ours, and no user's text


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("superbatch.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["inline"] = inline
    environment.globals["palette"] = Markup(stylesheet())
    environment.filters["words"] = words
    return environment
