"""Icon sets out of the files of `@iconify/json`: drawings with their names, aliases and categories, by design team."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from superbatch.errors import UserError
from superbatch.icons.concepts import concept_of, style_words

DEFAULT_SIDE = 16  # where neither drawing nor set has a width or height


class Drawing(NamedTuple):
    """One drawing.

    Attributes:
        set: short name of its set.
        name: its name there.
        concept: what it shows: the name without style words.
        body: what stands inside the <svg> element.
        box: left, top, width and height of what is seen of it.
        aliases: other names that the set has for it.
        categories: of the set, in which it stands.
    """

    set: str
    name: str
    concept: str
    body: str
    box: tuple[float, float, float, float]
    aliases: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Set and name, which no other drawing has."""
        return f"{self.set}:{self.name}"


@dataclass(frozen=True)
class IconSet:
    """One icon set.

    Attributes:
        name: short name, such as `mdi`.
        title: full name.
        author, author_url: who drew it, and where it is published.
        licence: SPDX name; empty where the set has none.
        drawings: those that its designers still offer, in order.
    """

    name: str
    title: str
    author: str
    author_url: str
    licence: str
    drawings: tuple[Drawing, ...]

    @property
    def team(self) -> str:
        """The design team: sets of one author are one hand."""
        return self.author.casefold()


def icon_set(name: str, content: Mapping[str, Any]) -> IconSet:
    """Read one set.

    Args:
        name: of its file.
        content: the file's JSON.

    Raises:
        UserError: a part that every set has is missing or of another kind.
    """
    try:
        info = content["info"]
        author, licence = info["author"], info["license"]
        return IconSet(
            name,
            str(info["name"]),
            str(author["name"]),
            str(author.get("url", "")),
            str(licence.get("spdx", "")),
            tuple(_drawings(name, content)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"is not an icon set like those of @iconify/json ({type(error).__name__}: {error})"
        raise UserError(
            f"{name}.json", what, "name the package that icons.package has by default, or repair the file"
        ) from None


def _drawings(set_name: str, content: Mapping[str, Any]) -> Iterable[Drawing]:
    shown = {name: icon for name, icon in content["icons"].items() if not icon.get("hidden")}
    style = style_words(shown, content.get("prefixes", {}), content.get("suffixes", {}))
    aliases, categories = _aliases(content), _categories(content)
    for name, icon in shown.items():
        yield Drawing(
            set_name,
            name,
            concept_of(name, style),
            str(icon["body"]),
            _box(icon, content),
            tuple(aliases.get(name, ())),
            tuple(categories.get(name, ())),
        )


def _box(icon: Mapping[str, Any], content: Mapping[str, Any]) -> tuple[float, float, float, float]:
    def value(key: str, default: int) -> float:
        return float(icon.get(key, content.get(key, default)))

    return value("left", 0), value("top", 0), value("width", DEFAULT_SIDE), value("height", DEFAULT_SIDE)


def _aliases(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """List the other names of each drawing, without names of its mirror image, which mean something else."""
    found = defaultdict(list)
    for alias, about in content.get("aliases", {}).items():
        if set(about) == {"parent"}:
            found[about["parent"]].append(alias)
    return found


def _categories(content: Mapping[str, Any]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for category, names in content.get("categories", {}).items():
        for name in names:
            found[name].append(category)
    return found
