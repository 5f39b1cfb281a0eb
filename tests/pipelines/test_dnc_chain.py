"""DnC as a command: `kedro run --pipeline=dnc --env=quick`, on a project that has its first reference already; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superbatch.config import dnc_learner
from superbatch.models.headed import is_image_only
from tests.forked_kedro import Done, quick_run, ready_project, training_record
from tests.parameters import quick_parameters, refusal
from tests.project import copy_of

TINY = "learner.training.steps=4,learner.training.evaluate_every=4,learner.training.checkpoint_every=2,evaluate.linear_probe=null,evaluate.few_shot=null"
NODES = "--nodes=moclr.check,moclr.train,moclr.evaluate,dnc.check,dnc.divide,dnc.experts,dnc.train,dnc.evaluate"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of("ready", ready_project, tmp_path_factory) / "project"


def run(project: Path, *arguments: str, params: str = "") -> Done:
    return quick_run(project, *arguments, params=",".join(filter(None, (TINY, params))))


@pytest.fixture(scope="module")
def data(project: Path) -> Path:
    done = run(project, "--pipeline=dnc", NODES)
    assert done.returncode == 0, done.stderr
    assert "not measured, because it was trained on images alone: retrieval" in done.stderr
    return project / "data" / "quick"


def test_a_base_divides_experts_contrast_and_a_student_learns(data: Path) -> None:
    clusters, about = data / "04_feature" / "dnc_clusters", {}
    about = json.loads((clusters / "clusters.json").read_text())
    sizes = np.bincount(np.load(clusters / "clusters.npy")).tolist()
    assert (
        about["sizes"] == sizes
        and min(sizes) >= 32
        and about["rows"] == sum(sizes) == training_record(data, "dnc")["plan"]["rows"]
    )
    assert set(about["silhouettes"]) == {"3", "4"} and (clusters / "gallery.png").is_file()
    experts = sorted(path for path in (data / "06_models" / "dnc_experts").iterdir() if path.is_dir())
    assert len(experts) == len(sizes) and all(is_image_only(one / "model") for one in experts)
    base, dnc = training_record(data, "moclr"), training_record(data, "dnc")
    assert set(dnc["flops"]["charged"]) == {"base_training", "dividing", "experts"}
    assert dnc["flops"]["charged"]["base_training"] == base["flops"]["as_executed_total"]
    assert is_image_only(data / "06_models" / "dnc")
    for name in ("moclr", "dnc"):
        results = list((data / "07_model_output" / name / "evaluation").glob("*.json"))
        assert [path.name for path in results] == ["classification.json"]
        assert list(json.loads(results[0].read_text())["metrics"]) == ["knn"]


@pytest.mark.slow
def test_it_is_found_done_and_reported(project: Path, data: Path) -> None:
    done = run(project, "--pipeline=dnc")
    assert done.returncode == 0, done.stderr
    assert all(
        f"{what}: up to date" in done.stderr for what in ("moclr", "dnc clusters", "experts", "dnc", "dnc evaluation")
    )
    assert "report: compares by classification/knn, because dnc was trained on images alone" in done.stderr
    assert "k-NN" in done.stdout or "knn" in done.stdout


@pytest.mark.slow
def test_more_clusters_than_batches_are_one_line_before_a_training(project: Path, data: Path) -> None:
    done = run(project, "--pipelines=divide", "--nodes=dnc.check", params="dnc.clusters=[40]")
    assert (
        done.returncode == 1
        and "dnc.clusters: 40 clusters of 396 rows, and an expert needs a batch of 32; use 12 or fewer, or a smaller batch"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"dnc.base": "moclar"}, "dnc.base: 'moclar' is not a method; did you mean moclr?"),
        ({"dnc.base": "jest"}, "dnc.base: 'jest' is not trained on images alone; name a method that has moclr"),
        ({"dnc.clusters": [1]}, "dnc.clusters: 1 clusters are too few"),
        ({"dnc.clusters": [5, 5]}, "dnc.clusters: [5, 5] has a number twice"),
        ({"dnc.start": "random"}, "dnc.start: 'random' is unknown"),
        ({"dnc.share": 0}, "dnc.share: 0 is too small"),
        ({"dnc.experts": {"training": {"steps": 7}}}, "dnc.experts.training.steps: follow from the sizes of the clusters"),
        ({"dnc.student": {"training": {"step": 7}}}, "dnc.student.training.step: unknown parameter; did you mean steps?"),
        ({"dnc.student": {"moclr": None}}, "dnc.student: is trained on images of the pool alone"),
        ({"moclr.learner.pool": {"add_curated": True}}, "dnc.base: 'moclr' adds the curated set"),
        ({"moclr.learner.selection.method": "joint"}, "moclr.learner.selection.method: is joint, and moclr has no scores"),
        ({"moclr.learner.moclr.augment": {"flip": 2}}, "moclr.learner.moclr.augment.flip: 2 is not a chance"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(changes: dict[str, Any], line: str) -> None:
    assert refusal(changes).startswith(line)


def test_experts_and_student_are_trained_as_the_base_but_for_what_they_change() -> None:
    student = {"training": {"steps": 7}, "model": {"config": "conf/models/proxy.json"}}
    given = quick_parameters(
        {"dnc.student": student, "moclr.learner.moclr": {"hidden": 5}, "learner.flexi": {"low": {"patch_size": 16}}}
    )
    own = given["learner"], given["moclr"]["learner"], given["dnc"]
    base, experts, taught = dnc_learner(*own), dnc_learner(*own, "experts"), dnc_learner(*own, "student")
    assert base == experts and base.moclr.hidden == 5 and base.flexi is None, (
        "what the template says of pairs is not for them"
    )
    assert taught.training.steps == 7 != base.training.steps and taught.model.config.endswith("proxy.json")
    assert taught.moclr == base.moclr
