"""What is written beside a drawing: its designers' words and nothing else."""

from __future__ import annotations

from superbatch.icons.concepts import words_of
from superbatch.icons.draws import draw
from superbatch.icons.sets import Drawing

ALIAS_SHARE = 0.2  # of the drawings that have another name: it stands in the place of the first
CATEGORY_SHARE = 0.2  # of the drawings that have a category: it stands behind the name


def pool_caption(drawing: Drawing, seed: int) -> str:
    """Return the caption of a drawing in the pool: its name, style words and all, or an alias; now and then its category."""
    name = drawing.name
    if drawing.aliases and draw(seed, "alias", drawing.identity) < ALIAS_SHARE:
        name = drawing.aliases[int(len(drawing.aliases) * draw(seed, "which alias", drawing.identity))]
    caption = " ".join(words_of(name))
    if drawing.categories and draw(seed, "category", drawing.identity) < CATEGORY_SHARE:
        which = int(len(drawing.categories) * draw(seed, "which category", drawing.identity))
        caption += f", {drawing.categories[which]}"
    return caption
