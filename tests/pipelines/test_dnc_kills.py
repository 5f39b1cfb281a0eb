"""DnC as a command, killed by SIGKILL while base, experts and student train: the weights are those of a run that nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superbatch.models import read_metadata
from tests.forked_kedro import SMALL, quick_run, ready_project
from tests.killed import killed_once
from tests.project import ONE_THREAD, copy_of

pytestmark = pytest.mark.slow
TRAINING = {"steps": 24, "evaluate_every": 24, "checkpoint_every": 2}
STEPS = ",".join(f"learner.training.{name}={value}" for name, value in TRAINING.items())
NODES = "--nodes=moclr.check,moclr.train,dnc.check,dnc.divide,dnc.experts,dnc.train"
COMMAND = ("kedro", "run", "--pipeline=dnc", NODES, "--env=quick", f"--params={SMALL},{ONE_THREAD},{STEPS}")


def digests(models: Path) -> dict[str, str]:
    """SHA-256 of the weights of base, experts and student, by their folders."""
    places = sorted([models / "moclr", models / "dnc", *models.glob("dnc_experts/*/model")])
    return {str(place.relative_to(models)): read_metadata(place)["weights_sha256"] for place in places}


def behind_a_state(states: Path, trainings: int = 1) -> Callable[[], bool]:
    """Return what says whether so many trainings that are not there yet have left a state in the middle."""
    before, found = set(states.glob("*/step-*")), set[Path]()

    def ready() -> bool:
        found.update(place.parent for place in set(states.glob("*/step-*")) - before)
        return len(found) >= trainings

    return ready


def test_killed_in_each_part_it_ends_with_the_same_weights(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One after the other on one project: in the base, in the second expert, in the student."""
    undisturbed, project = (copy_of("ready", ready_project, tmp_path_factory) / "project" for _ in range(2))
    done = quick_run(undisturbed, "--pipeline=dnc", NODES, params=STEPS)
    assert done.returncode == 0, done.stderr
    models = project / "data/quick/06_models"
    for missing, there, trainings in (
        ("moclr", "reference", 1),
        ("dnc_experts", "moclr", 2),
        ("dnc", "dnc_experts", 1),
    ):
        state = behind_a_state(models / ".state", trainings)
        killed_once(lambda there=there, state=state: (models / there).exists() and state(), project, COMMAND)
        assert not (models / missing).exists(), "it was killed in the middle"
    done = quick_run(project, "--pipeline=dnc", NODES, params=STEPS)
    assert done.returncode == 0 and "dnc: run hash" in done.stderr and "continues at step" in done.stderr, done.stderr
    expected = digests(undisturbed / "data/quick/06_models")
    assert len(expected) >= 5 and digests(models) == expected
