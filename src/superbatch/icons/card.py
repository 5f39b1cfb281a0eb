"""The data card: what is in it, how it was made, whose it is and under which licences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from superbatch.icons.captions import ALIAS_SHARE, CATEGORY_SHARE
from superbatch.icons.contact_sheet import write_contact_sheet
from superbatch.icons.licences import PERMISSIVE
from superbatch.icons.package import is_npm
from superbatch.icons.rendering import REASONS
from superbatch.icons.sets import IconSet
from superbatch.markdown import table
from superbatch.options import IconsSettings

CARD_FILE, SHEET_FILE = "README.md", "contact_sheet.png"
_PARTS = {
    "pool": "what the learner draws from",
    "curated": "what the reference is trained on",
    "classification/validation": "zero-shot classification, looked at during training",
    "classification/test": "zero-shot classification, at the end",
    "retrieval/validation": "retrieval, one drawing a concept",
    "retrieval/test": "retrieval, one drawing a concept",
}
_SHEET = {
    "Pool": "pool/00000.tar",
    "Curated set": "curated/00000.tar",
    "Test: classification": "evaluation/classification/test/0.tar",
    "Test: retrieval": "evaluation/retrieval/test/0.tar",
}


def write_card(root: Path, sets: Sequence[IconSet], settings: IconsSettings, summary: dict[str, Any]) -> None:
    """Write the card and its contact sheet beside the shards.

    Args:
        root: the rendered directory.
        sets: of the whole package.
        settings: that it was made with.
        summary: its counts, as `making.summarise` returns them.
    """
    write_contact_sheet(root / SHEET_FILE, {title: root / shard for title, shard in _SHEET.items()})
    samples: dict[str, int] = summary["samples_by_set"]
    parts = [
        _head(settings, summary),
        _contents(settings, summary),
        _making(settings, summary),
        _licences(sets, samples),
        _owners(sets, samples),
    ]
    (root / CARD_FILE).write_text("\n\n".join(parts) + "\n")


def _head(settings: IconsSettings, summary: dict[str, Any]) -> str:
    held = f"{_listed(settings.validation_sets)} for validation, {_listed(settings.test_sets)} for test"
    there = summary["permissive"]
    return f"""# Icons: drawings with the names that their designers gave them

{there["drawings"]:,} drawings of {there["sets"]} icon sets by {there["teams"]} design teams, rendered at {settings.image_size} x {settings.image_size}
pixels. Whole teams are held out: {held}. What they drew is in no other part.

![Some samples of each part]({SHEET_FILE})"""


def _contents(settings: IconsSettings, summary: dict[str, Any]) -> str:
    rows = [(name, f"{summary['samples'][name]:,}", what) for name, what in _PARTS.items()]
    rare = f"half of them drawn by {settings.rare_teams} teams of the pool at most"
    return f"""## What is in it

{table(("part", "samples", "what for"), rows)}

Pool and curated set are WebDataset shards in img2dataset's layout: `key.png`, `key.txt`, `key.json` with `set`, `name`, `author`,
`author_url` and `licence`. The evaluation sets are in CLIP_benchmark's layout. A class is a concept that {settings.class_teams} teams
or more draw, one of the test's among them: {summary["classes"]:,} classes. Retrieval has one drawing a concept, {rare}.

A caption in the pool is the drawing's name, style words and all; of those with other names {ALIAS_SHARE:.0%} carry one of these
instead, and {CATEGORY_SHARE:.0%} of those with a category have it behind the name. A caption of the curated set, a class name and a
caption of the retrieval sets is a concept: the name without style words. Nothing was added and nothing corrected."""


def _making(settings: IconsSettings, summary: dict[str, Any]) -> str:
    failed = [(name, f"{count:,}", REASONS[name]) for name, count in summary["failed"].items()]
    republished = [
        (part, found, f"{count:,}")
        for part, counts in summary["republished"].items()
        for found, count in counts.items()
    ]
    package = settings.package if is_npm(settings.package) else Path(settings.package).name
    return f"""## How it was made

`kedro run --env=icons --pipelines=icons`, from the npm package `@iconify/json` (`icons.package`: {package}).
resvg renders each drawing in black on white, in the middle of a square; colours that it brings stay. Drawings that their designers
have withdrawn (`hidden`) and sets under other licences than those below were left out. The curated set has at most
{settings.curated_per_concept} drawings a concept of {_listed(settings.curated_sets)}; these are not in the pool.

Drawings without a picture, not written:

{table(("reason", "drawings", "what it means"), failed) if failed else "none."}

Re-publications of what a held-out team drew, found by the same path data (`outline`) or the same pixels (`picture`), not written:

{table(("part", "found by", "drawings"), republished) if republished else "none."}"""


def _licences(sets: Iterable[IconSet], samples: dict[str, int]) -> str:
    used, left_out = Counter[str](), Counter[str]()
    number_of_sets = Counter(one.licence for one in sets)
    for one in sets:
        used[one.licence] += samples.get(one.name, 0)
        left_out[one.licence or "none named"] += 0 if one.licence in PERMISSIVE else len(one.drawings)
    rows = [(name, str(number_of_sets[name]), f"{count:,}") for name, count in used.most_common() if count]
    others = ", ".join(f"{name} ({count:,})" for name, count in left_out.most_common() if count)
    return f"""## Licences

{table(("licence", "sets", "samples"), rows)}

Each allows handing the pictures on, most of them with the author's name: it stands in each sample's JSON and below. Brand names and
logos stay their owners' trademarks. Not rendered, as their licences ask for more: {others or "nothing"}."""


def _owners(sets: Iterable[IconSet], samples: dict[str, int]) -> str:
    rows = [
        (
            one.name,
            one.title,
            f"[{one.author}]({one.author_url})" if one.author_url else one.author,
            one.licence,
            f"{samples[one.name]:,}",
        )
        for one in sets
        if one.name in samples
    ]
    return f"## Whose it is\n\n{table(('set', 'title', 'author', 'licence', 'samples'), rows)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
