"""ClassAct as a command: `kedro run --pipeline=classact --env=quick`, on a project that has its first reference already; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superbatch.checks import check_all, check_learners
from superbatch.config import learner_settings, reference_settings
from superbatch.errors import UserError
from superbatch.models.classifier import is_classifier
from superbatch.pipeline_registry import chain
from tests.forked_kedro import Done, quick_run, ready_project, training_record
from tests.parameters import quick_parameters, refusal
from tests.project import copy_of

TINY = "references.labels.training.steps=4,references.labels.training.evaluate_every=2,learner.training.steps=2,learner.training.evaluate_every=2,learner.training.checkpoint_every=2,evaluate.linear_probe=null"
NODES = "--nodes=reference_labels.check,reference_labels.train,embed_pool_labels,embed_curated_labels,classact.check,classact.train,classact.evaluate,reference_labels.evaluate"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of("ready", ready_project, tmp_path_factory) / "project"


def run(project: Path, *arguments: str, params: str = "") -> Done:
    return quick_run(project, *arguments, params=",".join(filter(None, (TINY, params))))


@pytest.fixture(scope="module")
def data(project: Path) -> Path:
    done = run(project, "--pipeline=classact", NODES)
    assert done.returncode == 0, done.stderr
    assert "no text tower and knows its own classes only: retrieval" in done.stderr
    return project / "data" / "quick"


def test_the_learner_goes_by_the_losses_of_a_reference_of_labels(data: Path) -> None:
    classact, reference = training_record(data, "classact"), training_record(data, "reference_labels")
    features = data / "04_feature" / "pool_labels"
    told, losses = json.loads((features / "features.json").read_text()), np.load(features / "losses.npy")
    assert classact["settings"]["reference"] == told["reference"] == reference["digests"]["weights"]
    assert classact["plan"]["rows"] == told["labelled"] == np.isfinite(losses).sum() < len(losses)
    assert classact["flops"]["charged"]["embedding"] == told["flops"] and "reference_check" not in classact
    assert not (features / "embeddings.arrow").exists() and is_classifier(data / "06_models" / "classact")
    results = {path.name for path in (data / "07_model_output" / "classact" / "evaluation").glob("*.json")}
    assert results == {"classification.json"}
    first = data / "04_feature" / "pool"
    shared = [path.relative_to(first) for path in first.glob("pixels-*/*.npy")]
    assert shared and all((first / path).samefile(features / path) for path in shared)


@pytest.mark.slow
def test_it_is_found_done_and_reported(project: Path, data: Path) -> None:
    done = run(project, "--pipelines=learner,report", "--nodes=classact.check,classact.train,report")
    assert done.returncode == 0, done.stderr
    assert "classact: up to date" in done.stderr and "classact (f = 0.5)" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "params", "line"),
    [
        # f = 0.9 of 32 looks at more rows than so small a pool has labels for
        (["--pipelines=learner", "--nodes=rho_loss.check"], "", "super-batch: B = 320 rows are more than the"),
        (["--pipelines=learner", "--nodes=classify.check"], "classify.learner.labels.by=cls", "labels.by: cls, and no row has a .cls"),
        (["--pipelines=references", "--nodes=reference_labels.check"], "references.labels.labels.classnames=none.txt,classact.learner.labels.classnames=none.txt,rho_loss.learner.labels.classnames=none.txt", "none.txt: no such file of class names"),
    ],
)  # fmt: skip
def test_data_that_does_not_fit_is_one_line_before_a_training(
    project: Path, data: Path, arguments: list[str], params: str, line: str
) -> None:
    done = run(project, *arguments, params=params)
    assert done.returncode == 1 and line in done.stderr, done.stderr


LABELS = {"classnames": "names.txt", "by": "cls"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"jest.learner.reference": "reference_labels"}, "jest.learner.reference: reference_labels is trained on labels, and the learner on image-text pairs; name one trained on pairs"),
        ({"classact.learner.reference": "reference"}, "classact.learner.reference: reference is trained on image-text pairs, and the learner's labels need one trained on labels; name one that has labels"),
        ({"classact.learner.reference": "reference_large"}, "classact.learner.reference: reference_large is trained on image-text pairs"),
        ({"classact.learner.labels.by": "txt"}, "classact.learner.labels.by: 'txt' is unknown"),
        ({"classact.learner.labels.smoothing": 1}, "classact.learner.labels.smoothing: 1 leaves no weight on the label"),
        ({"classact.learner.labels.classnames": ""}, "classact.learner.labels.classnames: names no file"),
        ({"classact.learner.training.loss": "sigmoid"}, "classact.learner.training.loss: is sigmoid, but classes need cross-entropy"),
        ({"classact.learner.distill": {"weight": 1.0}}, "classact.learner.distill: is of pairs, and labels are set"),
        ({"classact.learner.flexi": {"low": {"patch_size": 16}}}, "classact.learner.flexi: is of pairs, and labels are set"),
        ({"classact.learner.selection.adapt": {}}, "classact.learner.selection.adapt: measures pairs"),
        ({"classact.learner.selection.online_reference": {}}, "classact.learner.selection.online_reference: is of pairs"),
        ({"classact.learner.selection.method": "joint"}, "classact.learner.selection.method: is joint, but a labelled image is scored by itself; use independent"),
        ({"reference.labels": LABELS, "reference.training.loss": "softmax"}, "reference.labels: are for a further reference"),
        ({"bootstrap.reference": {"labels": LABELS, "training": {"loss": "softmax"}}}, "bootstrap.reference.labels: are for a further reference"),
        ({"references.labels.training.loss": "sigmoid"}, "references.labels.training.loss: is sigmoid"),
        ({"references.labels.import_from": "models/b32"}, "references.labels.import_from: is a checkpoint of pairs, and labels are set"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(changes: dict[str, Any], line: str) -> None:
    assert refusal(changes).startswith(line)


def test_what_the_template_says_of_pairs_is_not_for_labels() -> None:
    """Else a flexi that is set for all would refuse commands that train no classifier."""
    changes = {
        "learner.flexi": {"low": {"patch_size": 16}}, "learner.warm_start": True, "learner.pool": {"keep_share": 0.5, "clusters": 8},
        "learner.selection": {"method": "independent", "score": "match", "adapt": {}}, "learner.training.steps": 7,
    }  # fmt: skip
    given = quick_parameters(changes)
    found = learner_settings(given["learner"], given["classact"]["learner"], "classact")
    assert found.flexi is None and not found.warm_start and not found.pool.filters and found.selection.adapt is None
    assert found.selection.score == "loss"
    assert found.training.steps == 7 and found.selection.gain == 1
    first = {**given["reference"], "import_from": "models/b32"}
    reference = reference_settings("reference_labels", first, given["references"]["labels"])
    assert reference.import_from is None and reference.training.loss == "softmax"


def test_a_run_of_the_grid_by_a_reference_of_another_kind_is_one_line() -> None:
    for entry, line in (
        ({"method": "classact", "set": {"reference": "reference"}}, "compare: classact-T2-s0: reference: reference is trained on image-text pairs"),
        ({"method": "jest", "set": {"reference": "reference_labels"}}, "compare: jest-T2-s0: reference: reference_labels is trained on labels"),
        ({"method": "classify", "set": {"selection.method": "independent"}}, "compare: classify-T2-s0: reference: reference is trained on image-text pairs"),
    ):  # fmt: skip
        with pytest.raises(UserError) as found:
            check_all(quick_parameters({"compare.runs": [{"steps": 2} | entry]}))
        assert str(found.value).startswith(line)


def test_other_classes_than_the_references_are_refused_of_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of other methods: whoever sets classact up need not set rho_loss up too."""
    labels = {"classact.learner.labels.by": "cls", "references.labels.labels.by": "cls"}
    monkeypatch.setattr("superbatch.pipeline_registry._parameters", quick_parameters(labels))
    check_learners(chain(("classact", "classify", "jest")))
    with pytest.raises(UserError) as found:
        check_learners(chain(("rho_loss",)))
    line = "rho_loss.learner.reference: reference_labels has different classnames from the learner's labels, or a different `by`"
    assert str(found.value).startswith(line)


def test_a_reference_of_labels_has_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superbatch.pipeline_registry._parameters", quick_parameters({}))
    mixed, alone = chain(("classact", "jest")), chain(("classact",))
    names = {node.name for node in mixed.nodes}
    assert {"check_reference", "classact.train", "embed_pool_labels"} <= names and "check_reference_labels" not in names
    assert not any("check_reference" in node.name for node in alone.nodes)
    (train,) = (node for node in mixed.nodes if node.name == "classact.train")
    assert "pool_labels.features" in train.inputs and not any(name.endswith(".check") for name in train.inputs)
