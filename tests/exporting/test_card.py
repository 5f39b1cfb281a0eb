"""The model card: its front matter, its sections, its licence."""

from __future__ import annotations

import dataclasses

import yaml

from superbatch.exporting.card import render
from tests.exporting.conftest import FACTS


def test_a_card_has_front_matter_and_every_section() -> None:
    card = render(FACTS, "Like this.")
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "open_clip",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["clip", "superbatch"],
    }
    titles = [line[3:] for line in body.splitlines() if line.startswith("## ")]
    assert titles == ["Loading it", "Data", "Method", "Cost", "Results", "Limits", "Licence", "Where it is from"]
    assert "| classification/top1 | 39.2 % | [37.0, 41.4] | 1,920 |" in body
    assert "| training.loss | sigmoid \\| softmax |" in body, "a bar in a cell stays in it"
    assert "Not stated. Ask who trained the model before you use it." in body


def test_a_licence_is_the_one_that_was_stated() -> None:
    card = render(dataclasses.replace(FACTS, licence="Apache-2.0"), "")
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "apache-2.0"
    assert "Apache-2.0, of the weights and of this card." in card and "Not stated" not in card


def test_an_image_tower_is_for_features() -> None:
    card = render(dataclasses.replace(FACTS, has_text=False), "")
    assert yaml.safe_load(card.split("---\n")[1])["pipeline_tag"] == "image-feature-extraction"
