"""Wrong input, through the real command: exit code 1 and one line that names file or key, reason and remedy; no traceback.

Every case runs in one project with the quick environment's data, prepared once. A case that needs other data makes it in a folder of its own.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superbatch.artifacts.stamps import read_stamp, write_stamp
from superbatch.data.reasons import REMEDIES
from superbatch.errors import UserError
from superbatch.hooks import warn_of_simwebs_grid
from superbatch.models.device import pick_device
from superbatch.pipelines.ingest.checks import check_sources
from tests.forked_kedro import SMALL, forked_kedro, ready_project
from tests.parameters import refusal
from tests.project import copy_of, copy_project

INGEST = ("--pipelines=ingest",)
JEST = ("--pipelines=learner", "--namespaces=jest")
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d  ")
DATA = "data/quick"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of("ready", ready_project, tmp_path_factory) / "project"


def refused(project: Path, *arguments: str, params: str = "", env: str = "quick") -> str:
    """Run a command that must fail as it should; returns its one line, after `Error: `."""
    given = [f"--params={params}"] if params else []
    done = forked_kedro(project, "run", f"--env={env}", *arguments, *given)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip() and not LOG_LINE.match(line)]
    assert done.returncode == 1, done
    assert len(said) == 1, done
    assert said[0].startswith("Error: ")
    assert not list((project / DATA).rglob("*.tmp")), "something half-built was left"
    return said[0].removeprefix("Error: ")


@pytest.mark.parametrize(("pipeline", "metric"), [("jest", "birds/top1"), ("compare,report", "retrieval/top1")])
def test_a_metric_of_no_evaluation_set_is_refused_before_anything_runs(
    project: Path, pipeline: str, metric: str
) -> None:
    said = refused(project, f"--pipelines={pipeline}", params=f"{SMALL},report.metric={metric}")
    assert said.startswith(f"report.metric: no evaluation set has '{metric}'; there are classification/top1, ")
    assert "retrieval/image_to_text_r1" in said and said.endswith("headline")


def test_a_parameter_that_makes_no_sense(project: Path) -> None:
    line = "jest.learner.selection.num_chunks: N = 16 chunks of a batch of b = 8 pairs; use N <= b"
    assert refused(project, *JEST, params="learner.training.batch_size=8") == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"jest.learner.selection.filter_ratio": 0.0}, "jest.learner.selection.filter_ratio: f = 0 leaves nothing to choose from; use a"),
        ({"jest.learner.selection.filter_ratio": 1.0}, "jest.learner.selection.filter_ratio: f = 1 leaves nothing to train on; use a"),
        ({"jest.learner.selection.fliter_ratio": 0.5}, "jest.learner.selection.fliter_ratio: unknown parameter; did you mean filter_ratio?"),
        ({"lerner.training.steps": 3}, "lerner: unknown parameter; did you mean learner?"),
        ({"simweb.shares.clean": 0.5}, "simweb.shares: sum to 0.5; make them sum to 1"),
        ({"learner.training.steps": "many"}, "learner.training.steps: 'many' is not a whole number; use 1 or more"),
    ],
)  # fmt: skip
def test_other_parameters_that_make_no_sense(changes: dict[str, Any], line: str) -> None:
    """By the check that every command makes first."""
    assert refusal(changes).startswith(line)


def test_a_misspelt_parameter_in_a_file(project: Path) -> None:
    file = project / "conf" / "quick" / "parameters_mine.yml"
    file.write_text("jest:\n  learner:\n    selection: {gian: 3.0}\n")
    try:
        line = refused(project, *JEST)
    finally:
        file.unlink()
    assert line == "jest.learner.selection.gian: unknown parameter; did you mean gain?"


def test_an_unknown_pipeline_and_an_unknown_environment(project: Path) -> None:
    assert refused(project, "--pipeline=jst").startswith(
        "--pipelines=jst: no such pipeline; did you mean jest? known: uniform"
    )
    line = "--env=quik: no such folder conf/quik; did you mean quick? known: emoji, "
    assert refused(project, env="quik").startswith(line)


def test_super_batches_larger_than_the_pool(project: Path) -> None:
    rows = json.loads((project / DATA / "02_intermediate/pool/summary.json").read_text())["rows"]
    told = f"rows are more than the {rows:,} rows of the set; lower batch_size or filter_ratio (B = b / (1 - f)), or add data"
    line = refused(project, *JEST, params="jest.learner.selection.filter_ratio=0.999")
    assert line == f"super-batch: B = 32,000 {told}"


@pytest.mark.parametrize(
    ("method", "params", "line"),
    [
        ("jest", "learner.training.batch_size=400", "super-batch: B = 2,000 rows are more than the"),
        ("jest", "learner.model.config=conf/models/mine.json", "conf/models/mine.json: no such model configuration"),
        ("warm_start", "learner.model.pretrained=mine", "mine: no open_clip weights there"),
        (
            "jest",
            "jest.learner.selection.proxy.config=conf/models/tiny_emoji.json",
            "selection.proxy: conf/models/tiny_emoji.json: vision_cfg.image_size is 48, and 32 in the learner's conf/models/tiny.json",
        ),
    ],
)
def test_what_the_learner_cannot_do_is_said_before_a_reference_is_trained(
    project: Path, method: str, params: str, line: str
) -> None:
    states = project / DATA / "06_models" / ".state"
    before = sorted(states.iterdir())
    assert refused(project, f"--pipeline={method}", params=f"{params},{SMALL},reference.training.seed=7").startswith(
        line
    )
    assert sorted(states.iterdir()) == before


def test_a_missing_shard(project: Path) -> None:
    remedy = "correct the path (it counts from the project's folder)"
    assert (
        refused(project, *INGEST, params="ingest.pool.shards=data/mine/*.tar")
        == f"ingest.pool.shards: data/mine/*.tar: no such shard; {remedy}"
    )
    folder = f"{DATA}/01_raw/simweb/curated"
    line = refused(project, *INGEST, params=f"ingest.curated.shards={folder}/{{00000..00003}}.tar")
    assert line == f"ingest.curated.shards: {folder}/00001.tar: no such shard; {remedy}"


def test_every_set_is_looked_for_before_the_first_is_read(project: Path) -> None:
    """Reading a pool may take hours."""
    shutil.copytree(project / DATA / "01_raw/simweb/pool", project / "own")
    stage = project / DATA / "02_intermediate" / "pool"
    before = stage.stat().st_ino
    own = "ingest.pool.shards=own/*.tar"
    line = refused(project, *INGEST, params=f"{own},ingest.curated.shards=nowhere/*.tar")
    assert line.startswith("ingest.curated.shards: nowhere/*.tar: no such shard; correct the path")
    line = refused(project, "--pipeline=jest", params=f"{own},ingest.evaluation.retrieval.root=nowhere")
    assert line.startswith("ingest.evaluation.retrieval.root: nowhere: no such folder; correct the path")
    assert stage.stat().st_ino == before


def test_a_curated_set_out_of_the_pool_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0.tar", "1.tar"):
        (tmp_path / name).touch()
    ingest = {"curated": {"shards": "1.tar"}, "evaluation": {"simweb": {"root": "data/01_raw/simweb"}}}
    for shards, warned in (("*.tar", True), ("0.tar", False)):
        caplog.clear()
        check_sources(ingest | {"pool": {"shards": shards}}, {"pool.set", "curated.set"})
        assert ("the curated set has shards of the pool, such as 1.tar" in caplog.text) is warned


def test_a_split_that_no_set_has_is_refused_before_anything_runs(project: Path) -> None:
    line = refused(project, "--pipeline=jest", params="evaluate.split=tset")
    assert line == "evaluate.split: no evaluation set has a split 'tset'; there are test, validation"


def test_sets_without_validation_are_refused_before_anything_runs(project: Path) -> None:
    """Trainings look at it, and the first of them comes after a pool that takes hours."""
    only = [f"ingest.evaluation.{name}.splits.test=test" for name in ("classification", "retrieval")]
    line = refused(project, "--pipeline=jest", params=",".join(only))
    assert line.startswith("ingest.evaluation: no set has a split 'validation', which trainings are measured on; name")


def test_shards_that_are_no_files(project: Path) -> None:
    """One of those of tests/test_expand_shards.py."""
    line = "ingest.pool.shards: conf: is a folder; name the shards in it: conf/*.tar"
    assert refused(project, *INGEST, params="ingest.pool.shards=conf").startswith(line)


def test_a_folder_that_nothing_can_be_written_to(project: Path) -> None:
    line = refused(project, *INGEST, params="storage.stages=pyproject.toml/stages,ingest.pool.expect.rows.min=2")
    remedy = "give this user the right to, or use another folder (`storage.stages`)"
    assert line == f"pyproject.toml: can't be written to; {remedy}"


def test_an_image_that_was_exchanged_after_ingestion(project: Path) -> None:
    """Another image of equal size: `verify` looks at all of them, and what reads the pool at the checksums of some."""
    from superbatch.data.manifest import read_manifest

    manifest = read_manifest(project / DATA / "02_intermediate/pool", root=project)
    shard = project / list(manifest.shard_sizes)[manifest.places[16]["shard"]]
    key = manifest.keys[16]
    whole, place = shard.read_bytes(), manifest.places[16]
    last = int(place["offset"]) + int(place["length"]) - 1
    shard.write_bytes(whole[:last] + bytes([whole[last] ^ 1]) + whole[last + 1 :])
    try:
        line = f"{shard.relative_to(project)}, key {key}: the image is not the one that was ingested (its checksum differs); "
        assert refused(project, "--pipelines=verify").startswith(
            f"{line}of {len(manifest)} images 1 differ, in 1 shards; put"
        )
        assert refused(project, "--pipelines=embed", params="embed.batch=77").startswith(
            f"{line}`kedro run --pipelines=verify`"
        )
    finally:
        shard.write_bytes(whole)
    done = forked_kedro(project, "run", "--env=quick", "--pipelines=verify")
    assert done.returncode == 0 and f"pool: {len(manifest)} images in" in done.stdout + done.stderr


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, "shard_empty"),
        ({"a.png": b"no image", "a.txt": b"a cat"}, "image_corrupt"),
        ({"a.txt": b"a cat"}, "image_missing"),
    ],
)
def test_an_empty_set(project: Path, members: dict[str, bytes], reason: str) -> None:
    """The line says what to do about the most frequent reason."""
    shard = write_tar(project / "mine" / "00000.tar", members)
    kept = f"{DATA}/.stages/refused/pool/rejects.parquet"
    line = refused(project, *INGEST, params=f"ingest.pool.shards={shard.relative_to(project)}")
    assert (
        line
        == f"{kept}: 0 usable samples in mine/00000.tar (rejected: {reason} 1), 1 are needed; {reason}: {REMEDIES[reason]}; this file has each sample's reason"
    )
    assert (project / kept).is_file()


def test_a_pool_with_shards_that_can_not_be_read(project: Path) -> None:
    """One of two is gzipped: half of the pairs, and a single reject."""
    whole = project / "half" / "00000.tar"
    shutil.copytree(project / DATA / "01_raw/simweb/curated", project / "half")
    (project / "half" / "00001.tar").write_bytes(gzip.compress(whole.read_bytes()))
    line = refused(project, *INGEST, params="ingest.pool.shards=half/0000[01].tar")
    assert line.startswith(
        "ingest.pool: expected unread_shard_share to be at most 0, found 0.5 (shard_compressed 1: unpack the archive "
        "(gunzip, zstd -d); such as half/00001.tar (shard_compressed)); expected unread_byte_share to be at most 0, found "
    )
    assert line.endswith(
        "continue without the unread parts: --params=ingest.pool.expect.unread_shard_share.max=1,"
        "ingest.pool.expect.unread_byte_share.max=1"
    )


def test_a_set_that_falls_short_of_its_expectations(project: Path) -> None:
    line = refused(project, *INGEST, params="ingest.pool.expect.rows.min=100000")
    kept = f"{DATA}/.stages/refused/pool/rejects.parquet"
    assert re.fullmatch(
        rf"ingest.pool: expected rows to be at least 100000, found \d+; see {kept} for the reasons, or change ingest.pool.expect.rows",
        line,
    )
    assert (project / kept).is_file() and (project / kept).with_name("expectations.json").is_file()
    line = refused(project, *INGEST, params="ingest.pool.expect.rowz.min=1")
    assert line.startswith("ingest.pool.expect.rowz: the set has no such statistic; there are ")


@pytest.fixture
def classification(project: Path) -> Iterator[Path]:
    """A copy of the classification set, to be broken."""
    root = project / "broken"
    shutil.copytree(project / DATA / "01_raw/simweb/evaluation/classification", root)
    yield root
    shutil.rmtree(root)


def refused_set(project: Path, root: Path) -> str:
    return refused(project, *INGEST, params=f"ingest.evaluation.classification.root={root.relative_to(project)}")


def test_an_evaluation_set_without_class_names(project: Path, classification: Path) -> None:
    (classification / "classnames.txt").unlink()
    line = refused_set(project, classification)
    assert line.startswith(
        "broken/classnames.txt: missing: no class names for this evaluation set; write one class name a line"
    )


def test_an_evaluation_set_with_too_few_class_names(project: Path, classification: Path) -> None:
    (classification / "classnames.txt").write_text("red circle\n")
    line = refused_set(project, classification)
    assert re.fullmatch(
        r"broken/validation: \w+: label \d+, but broken/classnames.txt names classes 0..0; add the missing names .*",
        line,
    )


def test_a_missing_evaluation_split(project: Path, classification: Path) -> None:
    shutil.rmtree(classification / "test")
    assert refused_set(project, classification).startswith(
        "ingest.evaluation.classification.splits.test: broken/test: no such split; give splits: {validation: 'val-*.tar', test: 'test-*.tar'}, or folders of .tar files"
    )
    line = refused(project, "--pipelines=evaluate", "--namespaces=reference", params="evaluate.split=tset")
    assert line.endswith(
        "evaluation/sets.json: names no evaluation set with a split 'tset'; add one to the ingest settings and ingest again"
    )


def checkpoint(project: Path, folder: Path, seed: int = 1, **vision: int) -> None:
    """Save a model of random weights; `vision` changes the quick environment's architecture."""
    from superbatch.models import build_model, save_checkpoint
    from superbatch.options import ModelSettings

    config = json.loads((project / "conf/models/tiny.json").read_text())
    config["model_cfg"]["vision_cfg"] |= vision
    file = project / "other.json"
    file.write_text(json.dumps(config))
    save_checkpoint(folder, build_model(ModelSettings(config=str(file)), loss="sigmoid", batch_size=8, seed=seed), {})


OTHER = "other/open_clip_model.safetensors: weights do not fit the model configuration ("


def test_a_checkpoint_of_another_architecture(project: Path) -> None:
    checkpoint(project, project / "other", layers=2)
    line = refused(project, *JEST, params="learner.model.pretrained=other")
    assert line.startswith(OTHER) and line.endswith("); set model.config to the configuration they came with")


@pytest.mark.parametrize("vision", [{"width": 32}, {"patch_size": 16}])
def test_a_checkpoint_of_other_shapes(project: Path, vision: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    from superbatch.models import build_model
    from superbatch.options import ModelSettings

    checkpoint(project, project / "other", **vision)
    monkeypatch.chdir(project)
    with pytest.raises(UserError) as found:
        build_model(ModelSettings("conf/models/tiny.json", "other"), loss="sigmoid", batch_size=8, seed=1)
    line = str(found.value)
    assert line.startswith(OTHER) and line.endswith("); set model.config to the configuration they came with")


def test_a_checkpoint_that_is_none(project: Path) -> None:
    remedy = "name a checkpoint directory or a weight file"
    assert (
        refused(project, *JEST, params="learner.model.pretrained=nowhere")
        == f"nowhere: no open_clip weights there; {remedy}"
    )
    (project / "junk.pt").write_bytes(b"not weights")
    assert refused(project, *JEST, params="learner.model.pretrained=junk.pt").startswith(
        "junk.pt: is not a readable weight file ("
    )
    line = refused(project, "--pipelines=reference", params="reference.import_from=nowhere")
    assert line == "nowhere: no such checkpoint directory; train it first, or name another"


def test_another_runs_state(project: Path) -> None:
    state = next((project / DATA / "06_models/.state").glob("*/identity.json")).parent.relative_to(project)
    line = refused(project, *JEST, params=f"learner.training.resume_from={state}")
    assert line.startswith(f"training.resume_from: {state}: is another run's state: B is 32 there and 160 here; ")
    assert line.endswith("; match the settings, or start from scratch")


def test_an_embedding_cache_of_another_reference(project: Path) -> None:
    model = project / DATA / "06_models/reference"
    before = project / "before"
    shutil.copytree(model, before)
    try:
        mark = read_stamp(model)
        checkpoint(project, model)
        write_stamp(model, mark)  # what stands there is a reference, but not the one that embedded the pool
        line = refused(project, *JEST)
    finally:
        shutil.rmtree(model)
        before.rename(model)
    told = r"embeddings of another reference or set \(\w{12}, not \w{12}\); run `kedro run --pipelines embed` again"
    assert re.search(rf"{DATA}/04_feature/pool: {told}$", line)


def test_a_file_of_an_input_that_was_cut_is_found_before_anything_runs(project: Path) -> None:
    file = project / DATA / "04_feature/pool/embeddings.arrow"
    kept = file.read_bytes()
    file.write_bytes(kept[:1000])
    try:
        line = refused(project, *JEST)
    finally:
        file.write_bytes(kept)
    told = f"is damaged: 1,000 bytes, and its stage had written {len(kept):,}"
    assert (
        line == f"{DATA}/04_feature/pool/embeddings.arrow: {told}; run `kedro run --pipelines=embed --env=quick` first"
    )


def test_a_file_of_an_input_with_other_bytes_is_named_after_the_error(project: Path) -> None:
    """Its size is right, so that only reading it fails, in the words of a library."""
    file = next((project / DATA / "04_feature/pool").glob("tokens-*/offsets.npy"))
    kept = file.read_bytes()
    file.write_bytes(kept[::-1])
    try:
        line = refused(project, *JEST)
    finally:
        file.write_bytes(kept)
    remedy = f"delete {DATA}/04_feature/pool and give the same command again"
    assert line.startswith(f"{file.relative_to(project)}: is damaged (") and line.endswith(f"); {remedy}")


def test_a_device_that_is_not_there(project: Path) -> None:
    """Said before anything is made."""
    line = refused(project, "--pipeline=jest", params=f"learner.training.device=gpu,{SMALL},reference.training.seed=8")
    assert line == "learner.training.device: 'gpu' is no device; use auto, cpu, cuda or mps"
    with pytest.raises(UserError, match=r"^device: 'cuda:99' cannot be used here \(.+\); use auto, cpu, cuda or mps$"):
        pick_device("cuda:99")


def test_stages_before_their_inputs(project: Path, tmp_path: Path) -> None:
    """The line names the whole chain at once, in the same environment, and the chain is one that works."""
    fresh = copy_project(tmp_path / "fresh")
    what = "data/quick/02_intermediate/curated: not there yet, or not finished (and 7 more); run"
    before = f"`kedro run --pipelines=simweb,ingest,reference,check,embed --env=quick --params={SMALL}`"
    assert refused(fresh, *JEST, params=SMALL) == f"{what} {before} first"
    assert refused(fresh, "--pipelines=compare", params=SMALL) == f"{what} {before} first"
    line = refused(fresh, "--pipelines=evaluate", "--namespaces=jest")
    learner = "`kedro run --pipelines=learner --namespaces=jest --env=quick`"
    assert line.endswith(
        f"run `kedro run --pipelines=simweb,ingest,reference,check,embed --env=quick` and then {learner} first"
    )


def test_a_report_of_no_run_at_all(project: Path) -> None:
    outputs = project / DATA / "07_model_output"
    outputs.rename(project / "aside")
    try:
        line = refused(project, "--pipelines=report")
    finally:
        (project / "aside").rename(outputs)
    assert line == "report: there is no run yet; train one first, such as with `kedro run --pipelines=jest --env=quick`"


def test_ingestion_of_ones_own_shards_waits_for_no_simweb(project: Path, tmp_path: Path) -> None:
    fresh = copy_project(tmp_path / "fresh")
    shutil.copytree(project / DATA / "01_raw" / "simweb", fresh / "mine")
    own = "ingest.pool.shards=mine/pool/*.tar,ingest.curated.shards=mine/curated/*.tar"
    roots = (f"ingest.evaluation.{name}.root=mine/evaluation/{name}" for name in ("classification", "retrieval"))
    done = forked_kedro(fresh, "run", "--env=quick", *INGEST, f"--params={','.join([own, *roots])}")
    assert done.returncode == 0, done
    assert (fresh / DATA / "02_intermediate/pool/manifest.parquet").is_file()
    assert not (fresh / DATA / "01_raw").exists()


def test_simwebs_grid_on_ones_own_shards(tmp_path: Path) -> None:
    """A warning, before what is missing is told; none with a grid of one's own, or on simweb."""
    fresh = copy_project(tmp_path / "fresh")
    own = "ingest.pool.shards=a.tar,ingest.curated.shards=b.tar,ingest.evaluation.classification.root=c,ingest.evaluation.retrieval.root=d"
    warning = "compare: the schedules and learning rates of this grid were tuned on simweb; docs/own_data.md has a grid"
    for arguments, warned in (((f"--params={own}",), True), (("--env=quick", f"--params={own}"), False), ((), False)):
        done = forked_kedro(fresh, "run", "--pipelines=compare", *arguments)
        assert done.returncode == 1 and "not there yet" in done.stderr
        assert (warning in done.stdout + done.stderr) is warned


def test_a_project_without_simwebs_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    warn_of_simwebs_grid({"runs": []})


def test_a_reference_batch_larger_than_the_curated_set(project: Path, tmp_path: Path) -> None:
    """Said before anything is rendered where the size of the curated set is known, else as soon as it was read."""
    line = "reference.training.batch_size: 300 pairs are more than the {} of the curated set that are not held out ({} are); lower it, or curate more pairs"
    batch = "reference.training.batch_size=300"
    fresh = copy_project(tmp_path / "fresh")
    assert refused(fresh, "--pipeline=jest", params=batch) == line.format(180, 20)
    assert not (fresh / DATA).exists()
    shutil.copytree(project / DATA / "01_raw" / "simweb" / "curated", project / "trusted")
    own = f"{SMALL},{batch},ingest.curated.shards=trusted/*.tar"
    states = sorted((project / DATA / "06_models/.state").iterdir())
    assert refused(project, "--pipelines=reference", params=own) == line.format(180, 20)
    assert sorted((project / DATA / "06_models/.state").iterdir()) == states


def test_trainings_in_threads_of_one_process(project: Path) -> None:
    line = refused(project, *JEST, "--runner=ThreadRunner")
    assert line == (
        "--runner=ThreadRunner: jest.train would share its random state with what runs beside it, "
        "and learn something else each time; leave it out, or use ParallelRunner"
    )


def test_a_reference_too_weak_ends_the_run_where_that_is_asked_for(project: Path) -> None:
    """Before anything is embedded with it; what the check found is in its place, and without the setting the run goes on."""
    line = refused(project, "--pipelines=check,embed", params=f"{SMALL},check.stop=unsure,embed.batch=77")
    assert re.match(r"check\.stop: (the reference would harm|unsure whether the reference helps): ", line)
    assert f"({DATA}/07_model_output/reference/check); " in line
    assert refused(project, "--pipelines=check", params="check.stop=helps") == (
        "check.stop: 'helps' is not a verdict that stops a run; known: would_harm, unsure"
    )
