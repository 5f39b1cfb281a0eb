"""The model card: what a model is, how it was made, what it cost and reaches, its limits, and how each format is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from superbatch.markdown import table

CARD_FILE = "README.md"
NOT_STATED = "not stated"
Row = tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """The facts about a run that a card shows, as text.

    Attributes:
        run: its name. about: what it is, in a sentence.
        has_text: whether its text tower was trained.
        data: set, pairs or images, what for. data_notes: sentences on them.
        method: sentences. settings: setting and value.
        cost: what and how much.
        results: set and metric, value, 95 % interval, images. results_notes: sentences on them.
        limits: sentences.
        licence: of the model; None: not stated.
        origin: what identifies it: commit, digests.
    """

    run: str
    about: str
    has_text: bool
    data: Sequence[Row]
    data_notes: Sequence[str]
    method: Sequence[str]
    settings: Sequence[Row]
    cost: Sequence[Row]
    results: Sequence[Row]
    results_notes: Sequence[str]
    limits: Sequence[str]
    licence: str | None
    origin: Sequence[Row]


def write_card(directory: Path, facts: Facts, loading: str) -> None:
    """Write a card beside the files of one format.

    Args:
        directory: where they are.
        facts: of the run.
        loading: Markdown that says how these files are loaded, its code as it runs in the directory.
    """
    (directory / CARD_FILE).write_text(render(facts, loading), encoding="utf-8")


def render(facts: Facts, loading: str) -> str:
    """Return the card as Markdown, with the front matter that model hubs read."""
    measured = table(("metric", "value", "95 % interval", "images"), facts.results) if facts.results else ""
    parts = [
        _front_matter(facts),
        f"# {facts.run}\n\n{facts.about}",
        f"## Loading it\n\n{loading}",
        f"## Data\n\n{table(('set', 'samples', 'what for'), facts.data)}\n\n{_list(facts.data_notes)}",
        f"## Method\n\n{' '.join(facts.method)}\n\n{_folded('All settings', table(('setting', 'value'), facts.settings))}",
        f"## Cost\n\n{table(('what', 'how much'), facts.cost)}",
        f"## Results\n\n{measured}\n\n{_list(facts.results_notes)}",
        f"## Limits\n\n{_list(facts.limits)}",
        f"## Licence\n\n{_licence(facts.licence)}",
        f"## Where it is from\n\n{table(('what', 'value'), facts.origin)}",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _front_matter(facts: Facts) -> str:
    """Return the YAML block; a licence only where one was stated."""
    task = "zero-shot-image-classification" if facts.has_text else "image-feature-extraction"
    lines = ["library_name: open_clip", f"pipeline_tag: {task}", "tags: [clip, superbatch]"]
    lines += [f"license: {facts.licence.lower()}"] if facts.licence else []
    return "\n".join(["---", *lines, "---"])


def _licence(licence: str | None) -> str:
    if licence:
        return f"{licence}, of the weights and of this card."
    return f"{NOT_STATED.capitalize()}. Ask who trained the model before you use it."


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _folded(title: str, content: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{content}\n\n</details>"
