"""JEST++ in miniature: `kedro run --pipeline=jest_pp --env=quick`, on a project that has its first reference already."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from superbatch.artifacts.stamps import Staged
from superbatch.config import check_parameters
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.errors import UserError
from superbatch.models import read_metadata
from superbatch.pipelines.bootstrap.nodes import bootstrap_reference, check_bootstrap, check_settings
from superbatch.tasks.reference import split_rows
from superbatch.tasks.rounds import Round, best_round
from superbatch.tasks.trusted import Trusted
from tests.forked_kedro import SMALL, Done, forked_kedro, ready_project
from tests.parameters import quick_parameters
from tests.project import ONE_THREAD, copy_of

REFERENCE = {"reference.training.steps": 2, "reference.training.evaluate_every": 2}  # as `ready_project` made it
CAPTIONER = {"bootstrap.captioner": "superbatch.simweb.captioner:caption"}
LEARNER = "learner.training.steps=2,learner.training.evaluate_every=2,learner.training.checkpoint_every=2"
GIVEN = ",".join([SMALL, ONE_THREAD, LEARNER, *(f"{name}={value}" for name, value in (REFERENCE | CAPTIONER).items())])
CHAIN = ["--pipeline=jest_pp"]  # what a learner needs of it; `evaluate` and the report are as in other chains
CHAIN += ["--nodes=bootstrap.train,check_reference_pp,embed_pool_pp,embed_curated_pp,jest.train,jest_pp.train"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of("ready", ready_project, tmp_path_factory) / "project"


def run(project: Path, *arguments: str, params: str = f"{GIVEN},bootstrap.rounds=1") -> Done:
    return forked_kedro(project, "run", *arguments, "--env=quick", f"--params={params}")


@pytest.fixture(scope="module")
def data(project: Path) -> Path:
    done = run(project, *CHAIN)
    assert done.returncode == 0, done.stderr
    return project / "data" / "quick"


def record(data: Path, name: str, file: str = "run.json") -> dict[str, Any]:
    return json.loads((data / "07_model_output" / name / "training" / file).read_text())


def test_the_second_reference_learns_from_the_enlarged_set_without_the_first_ones_held_out_pairs(data: Path) -> None:
    first, second = (record(data, name) for name in ("reference", "reference_pp"))
    curated, enlarged = (read_manifest(data / "02_intermediate" / name) for name in ("curated", "curated_pp"))
    origins = pd.read_parquet(data / "02_intermediate/curated_pp/origins.parquet")
    assert set(origins["reason"]) == {"curated", "chosen", "recaptioned"} and len(origins) == len(enlarged)
    assert second["settings"]["sets"] == [enlarged.fingerprint] and first["settings"]["sets"] == [curated.fingerprint]
    held = first["settings"]["held_out"]
    assert second["settings"]["held_out"] == held and second["plan"]["rows"] == len(enlarged) - held
    assert not images(enlarged)[len(curated) :] & held_out_images(curated), "none came back out of the pool"
    model, training = data / "06_models" / "reference_pp", data / "07_model_output" / "reference_pp" / "training"
    trusted = Trusted(model, training, curated)
    trusted.check_curated()
    assert {images(curated)[row] for row in trusted.split()[0]} == held_out_images(curated)


class images(list):  # reads as a function
    """The images of a set by row, by their digests; a slice of them is a set."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest.column("sha256").to_pylist())

    def __getitem__(self, rows: Any) -> Any:
        found = super().__getitem__(rows)
        return set(found) if isinstance(rows, slice) else found


def held_out_images(curated: Manifest) -> set[bytes]:
    return {images(curated)[row] for row in split_rows(curated, 0.1)[1]}


def test_jest_pp_goes_by_it_and_jest_by_the_first(data: Path) -> None:
    for method, reference in (("jest", "reference"), ("jest_pp", "reference_pp")):
        weights = read_metadata(data / "06_models" / reference)["weights_sha256"]
        run = record(data, method)
        assert run["settings"]["reference"] == weights
        check = json.loads((data / "07_model_output" / reference / "check" / "check.json").read_text())
        assert check["reference"] == weights and run["reference_check"]["verdict"] == check["verdict"]
    assert record(data, "jest_pp")["settings"]["bootstrapped"] is True
    assert "bootstrapped" not in record(data, "jest")["settings"]


def test_what_led_to_the_second_reference_is_charged_to_its_learner(data: Path) -> None:
    """Operations and seconds; decoding, which was done once for the first features, takes no operations."""
    first, second, learner, jest = (record(data, name) for name in ("reference", "reference_pp", "jest_pp", "jest"))
    embedding = {
        name: json.loads((data / "04_feature" / name / "features.json").read_text()) for name in ("pool", "pool_pp")
    }
    trained = {
        "flops": first["flops"]["as_executed_total"],
        "seconds": sum(first["seconds"].values()),
    }
    for unit in ("flops", "seconds"):
        charged = [one["flops"]["charged"] if unit == "flops" else one["charged_seconds"] for one in (second, learner)]
        before = {"reference_training": trained[unit], "embedding": embedding["pool"][unit], "other_rounds": 0}
        assert charged[0] == before
        assert charged[1]["bootstrapping"] == pytest.approx(sum(before.values()))
        assert charged[1]["embedding"] == embedding["pool_pp"][unit]
    assert learner["flops"]["charged"]["reference_training"] == second["flops"]["as_executed_total"]
    assert learner["charged_seconds"]["decoding"] >= jest["charged_seconds"]["decoding"] > 0
    assert jest["flops"]["charged"].keys() == {"reference_training", "embedding", "decoding"}


def test_pixels_and_tokens_of_the_first_features_serve_the_second(data: Path) -> None:
    for name in ("pool", "curated"):
        first, second = (data / "04_feature" / folder for folder in (name, f"{name}_pp"))
        shared = [path.relative_to(first) for path in first.glob("*-*/*.npy")]
        assert len(shared) >= 4 and all((first / path).samefile(second / path) for path in shared)
        assert not (first / "embeddings.arrow").samefile(second / "embeddings.arrow")


def test_a_second_run_finds_everything_up_to_date(project: Path, data: Path) -> None:
    again = run(project, *CHAIN).stderr
    for what in ("bootstrap", "pool_pp features", "curated_pp features", "jest", "jest_pp"):
        assert re.search(rf"\b{what}: up to date", again), what
    assert "starts from scratch" not in again


def test_a_round_that_was_killed_goes_on_where_it_stood(project: Path, data: Path) -> None:
    """The set and the training of a finished round are found; only what comes after them is made again."""
    before = record(data, "reference_pp")
    other = f"{GIVEN},bootstrap.rounds=1,bootstrap.metric=classification/top1"
    done = run(project, "--pipelines=bootstrap", params=other).stderr
    assert "enlarged curated set: up to date" in done and re.search(r"reference_pp: up to date \(run hash", done)
    assert record(data, "reference_pp")["run_hash"] == before["run_hash"]
    assert record(data, "reference_pp", "rounds.json")["metric"] == "classification/top1"
    assert run(project, "--pipelines=bootstrap").returncode == 0, "for the tests after this one"


def arguments(**changes: Any) -> dict[str, Any]:
    """What Kedro gives the node."""
    given = quick_parameters(REFERENCE | {"reference.training.threads": 1} | changes)
    data = Path("data/quick")
    places = {
        "pool": "02_intermediate/pool", "pool_features": "04_feature/pool",
        "curated": "02_intermediate/curated", "curated_features": "04_feature/curated",
        "reference_model": "06_models/reference", "reference_training": "07_model_output/reference/training",
        "evaluation_sets": "02_intermediate/evaluation",
    }  # fmt: skip
    blocks = {name: given[name] for name in ("reference", "embed", "learner", "storage")}
    return {name: data / place for name, place in places.items()} | blocks | {"settings": given["bootstrap"]}


def test_a_further_round_is_chosen_by_the_reference_of_the_last(
    project: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds, and the second is said to be worse: the first one's reference is kept, and what the second cost is charged."""
    monkeypatch.chdir(project)
    worth: dict[Path, float] = {}
    values = iter([0.2, 0.4, 0.3])

    def value(self: Round, metric: str) -> float:
        if self.training not in worth:
            worth[self.training] = next(values)
        return worth[self.training]

    monkeypatch.setattr(Round, "value", value)
    made: tuple[Staged, ...] = bootstrap_reference(**arguments(**{"bootstrap.rounds": 3}))
    told = json.loads((made[2].path / "rounds.json").read_text())
    assert told["kept"] == 1 and [one["validation"] for one in told["rounds"]] == [0.2, 0.4, 0.3]
    assert [one["flops_embedding"] > 0 for one in told["rounds"]] == [True, True, False]
    run_json = json.loads((made[2].path / "run.json").read_text())
    assert run_json["run_hash"] == told["rounds"][1]["run_hash"] != told["rounds"][2]["run_hash"]
    charged = run_json["flops"]["charged"]
    assert charged["other_rounds"] == told["rounds"][2]["flops_training"] > 0
    assert charged["embedding"] == told["rounds"][0]["flops_embedding"], "the kept one's is charged to whoever reads it"
    assert run_json["flops"]["charged_total"] == run_json["flops"]["as_executed_total"] + sum(charged.values())
    kept = read_metadata(made[1].path)["weights_sha256"]
    assert kept == run_json["digests"]["weights"]
    again = bootstrap_reference(**arguments(**{"bootstrap.rounds": 3}))
    assert [one.path for one in again] == [one.path for one in made] and len(worth) == 3, "nothing was trained again"


@pytest.mark.parametrize(
    ("values", "kept"),
    [([0.2, 0.3], 1), ([0.2, 0.1], 1), ([0.2, 0.2], 1), ([0.2, 0.3, 0.4], 2), ([0.2, 0.3, 0.305], 1), ([0.2, 0.3, 0.4, 0.1], 2)],
)  # fmt: skip
def test_the_last_round_that_was_better_is_kept(values: list[float], kept: int) -> None:
    assert best_round(values, 0.01) == kept


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"bootstrap.share": 1.5}, "bootstrap.share: 1.5 is not a share of the pool"),
        ({"bootstrap.rounds": 0}, "bootstrap.rounds: 0 is too small; use 1 or more"),
        ({"bootstrap.clusters": 0}, "bootstrap.balance: 0.5 without clusters: there is nothing to balance; set bootstrap.clusters"),
        ({"bootstrap.clusters": 4000}, "bootstrap.clusters: 4,000 clusters of"),
        ({"bootstrap.metric": "classification/top7"}, "bootstrap.metric: no evaluation set has 'classification/top7'; there are "),
        ({"bootstrap.captioner": "no.such:f"}, "bootstrap.captioner: 'no.such:f' cannot be imported (No module named 'no')"),
        ({"bootstrap.captioner_options": {"seed": 1}}, "bootstrap.captioner_options: are set, but no captioner is"),
        (CAPTIONER | {"bootstrap.captioner_options": {"rate": 1}}, "bootstrap.captioner_options: superbatch.simweb.captioner:caption does not"),
        (CAPTIONER | {"bootstrap.aligned": 0}, "bootstrap.captioner: replaces the captions of pairs that are not aligned, but aligned is 0"),
        ({"bootstrap.reference.held_out": 0.2}, "bootstrap.reference.held_out: is the first reference's own"),
        ({"bootstrap.reference.training.stepps": 2}, "bootstrap.reference.training.stepps: unknown parameter; did you mean steps?"),
        ({"bootstrap.reference.training.batch_size": 4000}, "bootstrap.reference.training.batch_size: 4,000 pairs are more than the"),
        ({"reference.held_out": 0}, "bootstrap.aligned: needs held-out curated pairs"),
    ],
)  # fmt: skip
def test_wrong_settings_are_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], line: str
) -> None:
    """By the checks that stand before anything is trained: of parameters, of what is known without data, of the sets."""
    monkeypatch.chdir(project)
    given = quick_parameters(changes)
    data = Path("data/quick/02_intermediate")
    with pytest.raises(UserError) as found:
        check_parameters(given)
        check_settings(given["bootstrap"], given["ingest"])
        check_bootstrap(data / "pool", data / "curated", given["bootstrap"], given["reference"])
    assert str(found.value).startswith(line)


def test_what_bootstrapping_would_refuse_is_said_before_the_first_reference_is_trained(
    project: Path, data: Path
) -> None:
    before = sorted((data / "06_models" / ".state").iterdir())
    for params in ("bootstrap.captioner=no.such:f", "bootstrap.clusters=4000"):
        done = run(project, "--pipeline=jest_pp", params=f"{SMALL},reference.training.seed=7,{params}")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "Error: bootstrap.c" in done.stderr
    assert sorted((data / "06_models" / ".state").iterdir()) == before


def test_stages_without_the_second_reference_name_the_command_that_makes_it(
    project: Path, data: Path, tmp_path: Path
) -> None:
    (data / "06_models" / "reference_pp").rename(tmp_path / "aside")
    done = run(project, "--pipelines=learner", "--namespaces=jest_pp")
    assert "Error: data/quick/06_models/reference_pp: not there yet, or not finished; run `kedro run" in done.stderr
    assert "--pipelines=bootstrap --env=quick" in done.stderr


def test_the_numbers_of_a_round_are_there(data: Path) -> None:
    told = record(data, "reference_pp", "rounds.json")
    assert told["metric"] == "headline" and told["kept"] == 1 and len(told["rounds"]) == 2
    first, second = told["rounds"]
    assert first["validation"] == record(data, "reference")["final"]["headline"]
    assert second["validation"] == record(data, "reference_pp")["final"]["headline"] == second["metrics"]["headline"]
    origins = pd.read_parquet(data / "02_intermediate/curated_pp/origins.parquet")
    counts = origins["reason"].value_counts()
    assert {name: second[name] for name in counts.index} == counts.to_dict()
    assert all(np.isfinite(one["seconds_training"]) for one in told["rounds"])
