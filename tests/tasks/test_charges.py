"""What a teacher of its own adds to a run's charges: all of it, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from superbatch.artifacts.atomic import write_json
from superbatch.options import DistillSettings, LearnerSettings, SelectionSettings
from superbatch.tasks.charges import charged, charges, teacher_charges
from superbatch.tasks.teacher import Teacher
from superbatch.training.flops import Spent

# A second reference of 7 operations: before it the first one's training of 100 and its embedding of 10, and another round's training of 5.
BEFORE = {"reference_training": 100.0, "embedding": 10.0, "other_rounds": 5.0}
EMBEDDING = {"reference": (10.0, 1.0), "reference_pp": (3.0, 0.5), "reference_large": (40.0, 4.0)}
TRAINING = {"reference": 100.0, "reference_pp": 7.0, "reference_large": 400.0}


def made(folder: Path, name: str) -> Teacher:
    """A reference's records and features, with nothing in them but what they cost."""
    flops = {"as_executed_total": TRAINING[name]} | ({"charged": BEFORE} if name == "reference_pp" else {})
    training, features = folder / name / "training", folder / name / "features"
    for place in (training, features):
        place.mkdir(parents=True)
    before = {part: value / 10 for part, value in BEFORE.items()} if name == "reference_pp" else {}
    write_json(
        training / "run.json", {"flops": flops, "seconds": {"train": TRAINING[name] / 10}, "charged_seconds": before}
    )
    (flops_embedding, seconds), own = EMBEDDING[name], {"reference_large": 6.0}.get(name, 0.0)
    facts = {"flops": flops_embedding, "seconds": seconds, "seconds_decoding": 2.0 + own}
    write_json(features / "features.json", facts | ({} if name == "reference" else {"seconds_decoding_before": 2.0}))
    return Teacher(name, folder / name, training, features)


def charges_of(reference: Teacher) -> dict[str, Spent]:
    return charges(reference.training, reference.features)


@pytest.mark.parametrize(
    ("reference", "teacher", "selects", "operations", "decoding"),
    [
        ("reference", "reference_large", True, 100 + 10 + 400 + 40, 2 + 6),
        ("reference", "reference_large", False, 400 + 40, 2 + 6),
        ("reference_large", "reference", True, 400 + 40 + 100 + 10, 2 + 6),
        ("reference", "reference_pp", True, 100 + 10 + 5 + 7 + 3, 2),
        ("reference", "reference_pp", False, 100 + 10 + 5 + 7 + 3, 2),
        ("reference_pp", "reference", True, 100 + 10 + 5 + 7 + 3, 2),
        ("reference_pp", "reference_large", True, 100 + 10 + 5 + 7 + 3 + 400 + 40, 2 + 6),
    ],
)
def test_everything_is_charged_once(tmp_path, reference, teacher, selects, operations, decoding):
    method = "joint" if selects else "uniform"
    settings = LearnerSettings(
        reference=reference, selection=SelectionSettings(method), distill=DistillSettings(teacher=teacher)
    )
    own = made(tmp_path, settings.goes_by)
    told = charges_of(own) | teacher_charges(made(tmp_path / "teacher", teacher))
    found = charged(settings, settings.uses_embeddings, told)
    assert sum(spent.flops for spent in found.values()) == operations
    seconds = sum(spent.seconds for name, spent in found.items() if name.endswith("decoding"))
    assert seconds == decoding
    assert all(spent.seconds is not None and spent.seconds >= 0 for spent in found.values())


def test_without_a_teacher_of_its_own_nothing_changes(tmp_path):
    told = charges_of(made(tmp_path, "reference"))
    for distill in (None, DistillSettings(), DistillSettings(teacher="reference")):
        settings = LearnerSettings(selection=SelectionSettings("joint"), distill=distill)
        assert charged(settings, True, told) == told
