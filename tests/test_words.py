"""Plain words: a few worn or odd phrases that must not come back into README, docs, pages and messages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "src" / "superbatch"

# A phrase, and what to write instead. No complete list: read a sentence aloud.
WORN = {
    "nothing to spare": "borderline",
    "map of the house": "project layout",
    "must be like": "the thresholds of",
    "made of every row": "classifies every row",
    "never in neither": "exactly one of the two",
    "nobody can tell": "cannot be detected",
    "take no decision by": "don't tune on",
    "tested on nothing": "untested",
    "told from the others": "cannot be distinguished",
    "chosen so often": "chosen more often than",
    "chosen so rarely": "chosen less often than",
    "at which cost": "what it cost",
    "the last word says": "the label is",
    "stands at": "is, has, reaches",
    "long enough is not shown": "may not have converged",
    "starts afresh": "starts from scratch",
    "without a word": "without a message",
    "held against": "compared with",
    "hold it against": "compare it with",
    "for want of": "because ... is missing",
    "kept no account": "did not record",
    "not at hand": "missing",
}


def texts() -> Iterator[tuple[str, str]]:
    """Every page and template whole, every string of the package: where it is, and its words in lower case."""
    pages = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md"), *(PACKAGE / "reporting").rglob("*.j2")]
    for page in pages:
        yield page.relative_to(PROJECT).as_posix(), plain(page.read_text())
    for module in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{module.relative_to(PROJECT).as_posix()}:{node.lineno}", plain(node.value)


def plain(text: str) -> str:
    return " ".join(text.lower().split())


def worn(text: str) -> list[str]:
    return [phrase for phrase in WORN if phrase in text]


def test_no_worn_phrase_is_in_a_page_or_a_message() -> None:
    found = [f"{where}: {phrase!r}, rather {WORN[phrase]!r}" for where, text in texts() for phrase in worn(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["JEST **stands\nat** 41 %: Nothing to  spare", "It starts afresh without a\n  word."])
def test_a_phrase_is_found_across_lines(text: str) -> None:
    assert len(worn(plain(text.replace("*", "")))) == 2
