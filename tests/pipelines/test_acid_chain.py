"""ACID and ACED in miniature: `kedro run --pipeline=aced --env=quick`, with a larger reference, on a project that has its first one already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from superbatch.checks import check_all
from superbatch.config import further_references, reference_settings
from superbatch.data.embeddings import EmbeddingCache
from superbatch.data.manifest import read_manifest
from superbatch.errors import UserError
from superbatch.models import read_config
from tests.forked_kedro import Done, quick_run, ready_project, training_record
from tests.parameters import quick_parameters, refusal
from tests.project import copy_of

TINY = "reference.training.steps=2,reference.training.evaluate_every=2,learner.training.steps=2,learner.training.evaluate_every=2,learner.training.checkpoint_every=2"
NODES = "--nodes=reference_large.train,check_reference_large,embed_pool_large,embed_curated_large,aced.train"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of("ready", ready_project, tmp_path_factory) / "project"


def run(project: Path, *arguments: str, params: str = "") -> Done:
    return quick_run(project, *arguments, params=",".join(filter(None, (TINY, params))))


@pytest.fixture(scope="module")
def data(project: Path) -> Path:
    done = run(project, "--pipeline=aced", NODES)
    assert done.returncode == 0, done.stderr
    assert "reference_large check: " in done.stderr and "aced: run hash" in done.stderr
    return project / "data" / "quick"


def test_the_larger_reference_has_its_own_model_and_features(data: Path) -> None:
    models = data / "06_models"
    widths = [read_config(models / name)["model_cfg"]["embed_dim"] for name in ("reference", "reference_large")]
    assert widths == [64, 128]
    first, second = (data / "04_feature" / name for name in ("pool", "pool_large"))
    assert (second / "embeddings.arrow").stat().st_size > 1.5 * (first / "embeddings.arrow").stat().st_size
    shared = [path.relative_to(first) for path in first.glob("*-*/*.npy")]
    assert shared and all((first / path).samefile(second / path) for path in shared), "pixels and token ids serve both"


def test_the_learner_goes_by_it_and_is_charged_for_it(data: Path) -> None:
    aced, large = training_record(data, "aced"), training_record(data, "reference_large")
    assert aced["settings"]["distill"] == {"how": "distillation", "weight": 1.0, "scale": None, "batch": "chosen"}
    assert aced["settings"]["reference"] == large["digests"]["weights"]
    assert aced["flops"]["charged"]["reference_training"] == large["flops"]["as_executed_total"]
    features = json.loads((data / "04_feature" / "pool_large" / "features.json").read_text())
    assert aced["flops"]["charged"]["embedding"] == features["flops"]


def test_another_model_than_the_reference_may_teach(project: Path, data: Path) -> None:
    """The first reference chooses and the larger one teaches: both are read in one run, both are charged, and the record names the teacher."""
    own = "aced_iid.learner.reference=reference,aced_iid.learner.distill.teacher=reference_large"
    done = run(project, "--pipelines=learner", "--namespaces=aced_iid", params=own)
    assert done.returncode == 0 and "taught by reference_large" in done.stderr, done.stderr
    taught, first, large = (training_record(data, name) for name in ("aced_iid", "reference", "reference_large"))
    weights = large["digests"]["weights"]
    assert taught["settings"]["reference"] == first["digests"]["weights"]
    assert taught["settings"]["teacher"] == {"reference": weights} and "teacher" not in taught["settings"]["distill"]
    cache = EmbeddingCache(data / "04_feature" / "pool_large" / "embeddings.arrow")
    assert taught["teacher"] == {"name": "reference_large", "weights": weights, "embeddings": cache.fingerprint}
    features = [
        json.loads((data / "04_feature" / name / "features.json").read_text()) for name in ("pool", "pool_large")
    ]
    assert taught["flops"]["charged"] == {
        "reference_training": first["flops"]["as_executed_total"],
        "embedding": features[0]["flops"],
        "decoding": 0.0,
        "teacher_training": large["flops"]["as_executed_total"],
        "teacher_embedding": features[1]["flops"],
        "teacher_decoding": 0.0,
    }
    again = run(project, "--pipelines=learner", "--namespaces=aced_iid", params=own)
    assert again.returncode == 0 and "aced_iid: up to date" in again.stderr, again.stderr


def test_softmax_kd_takes_it_and_finds_it_done(project: Path, data: Path) -> None:
    """A learner that chooses nothing and is taught; and the relatives by the first reference where that is asked for."""
    done = run(project, "--pipelines=references,learner", "--namespaces=reference_large,softmax_kd")
    assert done.returncode == 0 and "reference_large: up to date" in done.stderr, done.stderr
    assert (
        training_record(data, "softmax_kd")["plan"]["batch_size"]
        == training_record(data, "softmax_kd")["plan"]["super_batch_size"]
    )
    done = run(
        project, "--pipelines=learner", "--namespaces=softmax_kd", params="softmax_kd.learner.reference=reference"
    )
    assert done.returncode == 0 and "starts from scratch" in done.stderr
    assert (
        training_record(data, "softmax_kd")["settings"]["reference"]
        == training_record(data, "reference")["digests"]["weights"]
    )


def test_one_may_be_trained_on_the_pool_itself(project: Path, data: Path) -> None:
    """ActiveCLIP's in-domain reference: it saw no curated pair, so all of them judge it, and the learner goes by it."""
    nodes = "--nodes=reference_in_domain.train,check_reference_in_domain,embed_pool_in_domain,embed_curated_in_domain,active_clip.train"
    own = "references.in_domain.trained_on=pool,active_clip.learner.reference=reference_in_domain"
    done = run(project, "--pipeline=active_clip", nodes, params=own)
    assert done.returncode == 0, done.stderr
    made, learner = training_record(data, "reference_in_domain"), training_record(data, "active_clip")
    assert made["settings"]["trained_on"] == "pool" and made["settings"]["sets"] == learner["settings"]["sets"]
    check = json.loads((data / "07_model_output" / "reference_in_domain" / "check" / "check.json").read_text())
    curated = len(read_manifest(data / "02_intermediate" / "curated"))
    assert check["pairs"]["held_out"] == curated and not check["imported"]
    assert learner["settings"]["reference"] == made["digests"]["weights"]
    assert learner["flops"]["charged"]["reference_training"] == made["flops"]["as_executed_total"]


def test_without_it_the_command_that_makes_it_is_named(project: Path, data: Path, tmp_path: Path) -> None:
    model, aside = data / "06_models" / "reference_large", tmp_path / "aside"
    model.rename(aside)
    done = run(project, "--pipelines=learner", "--namespaces=h_acid")
    aside.rename(model)
    assert done.returncode == 1
    assert (
        "reference_large: not there yet, or not finished; run `kedro run --pipelines=references --env=quick"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"references.pp": {}}, "references.pp: is `bootstrap`'s own; use letters"),
        ({"references.a-b": {}}, "references.a-b: cannot be part of a folder's name; use letters"),
        ({"references.large.modell": {}}, "references.large.modell: unknown parameter; did you mean model?"),
        ({"references.large": 3}, "references.large: 3 is not a block of settings; write what it changes"),
        ({"references": 3}, "references: 3 is not a block of named blocks; write one block for each reference"),
        ({"aced.learner.reference": "reference_larg"}, "aced.learner.reference: 'reference_larg' is not among `references`; did you mean reference_large?"),
        ({"aced.learner.reference": "large"}, "aced.learner.reference: 'large' is not the name of a reference; use reference, reference_pp"),
        ({"jest.learner.distill.teacher": "reference_larg"}, "jest.learner.distill.teacher: 'reference_larg' is not among `references`; did you mean reference_large?"),
        ({"jest.learner.distill.teacher": "reference_labels"}, "jest.learner.distill.teacher: reference_labels is trained on labels, and has no embeddings to teach with; name one trained on pairs"),
        ({"jest.learner.distill.teacher": "large"}, "jest.learner.distill.teacher: 'large' is not the name of a reference; use reference"),
        ({"aced.learner.distill.batch": "both"}, "aced.learner.distill.batch: 'both' is unknown"),
        ({"reference.trained_on": "pool"}, "reference.trained_on: is for a further reference: this one is trained on the curated set"),
        ({"bootstrap.reference.trained_on": "pool"}, "bootstrap.reference.trained_on: is for a further reference"),
        ({"references.large.trained_on": "web"}, "references.large.trained_on: 'web' is unknown"),
        ({"references.large.trained_on": "pool", "references.large.import_from": "models/b32"}, "references.large.trained_on: is the pool, and an imported reference"),
        ({"jest.learner.selection.score": "match"}, "jest.learner.selection.score: match scores each pair by itself"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(changes: dict[str, Any], line: str) -> None:
    assert refusal(changes).startswith(line)


def test_a_run_of_the_grid_by_a_reference_that_nobody_makes_is_one_line() -> None:
    runs = [{"method": "jest", "steps": 2, "set": {"distill.teacher": "reference_larg"}}]
    with pytest.raises(UserError, match="compare: jest-T2-s0: distill.teacher: 'reference_larg' is not among"):
        check_all(quick_parameters({"compare.runs": runs}))
    runs = [{"method": "jest", "steps": 2, "set": {"reference": "reference_larg"}}]
    with pytest.raises(UserError) as found:
        check_all(quick_parameters({"compare.runs": runs}))
    line = "compare: jest-T2-s0: reference: 'reference_larg' is not among `references`; did you mean reference_large?"
    assert str(found.value) == line


def test_a_further_reference_changes_the_first_ones_settings() -> None:
    given = quick_parameters({"references.other": {"training": {"steps": 7}}})
    assert further_references(given) == ["reference_large", "reference_labels", "reference_other"]
    first = reference_settings("reference", given["reference"])
    other = reference_settings("reference_other", given["reference"], given["references"]["other"])
    assert other.training.steps == 7 and other.model == first.model and other.held_out == first.held_out
