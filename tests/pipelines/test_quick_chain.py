"""The main job in miniature, as a user runs it: `kedro run --pipeline=jest --env=quick` in a fresh project, twice.

The first time in a process of its own, as the user's; what follows is forked, and has no report.
"""

from __future__ import annotations

import csv
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from PIL import Image

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.data.ingest import ingest
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.order import Order
from superbatch.data.reader import ImageReader
from superbatch.models import load_checkpoint
from superbatch.reporting.numbers import percent
from superbatch.tasks import embed_images, embed_texts
from tests.forked import Done, forked
from tests.forked_kedro import forked_kedro
from tests.project import ONE_THREAD, PROJECT, UNREPORTED, command, copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def first(project: Path) -> subprocess.CompletedProcess[str]:
    return command(project, "kedro", "run", "--pipeline=jest", "--env=quick", f"--params={ONE_THREAD}")


def run_again(project: Path, *arguments: str, params: str = ONE_THREAD, check: bool = True) -> Done:
    return forked_kedro(project, "run", "--env=quick", *arguments, f"--params={params}", check=check)


@pytest.fixture(scope="module")
def data(project: Path, first: subprocess.CompletedProcess[str]) -> Path:
    return project / "data" / "quick"


def test_ends_with_a_table_and_the_reports_place(first: subprocess.CompletedProcess[str]) -> None:
    lines = first.stdout.strip().splitlines()
    assert lines[-1] == "Report: data/quick/08_reporting/report.html"
    for method in ("jest", "uniform", "reference"):
        assert any(line.startswith(method) for line in lines), first.stdout


def test_the_report_says_the_command_that_makes_the_run_again(data: Path) -> None:
    page = (data / "08_reporting" / "report.html").read_text()
    assert f"<pre>kedro run --pipelines=jest --env=quick --params={ONE_THREAD}</pre>" in page


def test_ten_steps_are_near_chance_and_nothing_else_is_said(first: subprocess.CompletedProcess[str]) -> None:
    """Values of 0.5 % were called reached and gained, and a reference of 1 % brought advice."""
    lines = [line for line in first.stdout.strip().splitlines() if line]
    said = lines[[line.startswith("reference") for line in lines].index(True) + 1 : -1]
    assert len(said) == 3, said
    assert said[0].startswith("All runs are near chance (top-1 ")
    assert said[1].startswith("One seed (n = 1)")
    assert "operations as executed" in said[2], "what a step cost holds however little was learned"


def run_record(data: Path, run: str) -> dict:
    return json.loads((data / "07_model_output" / run / "training" / "run.json").read_text())


def check_of(data: Path) -> dict:
    return json.loads((data / "07_model_output/reference/check/check.json").read_text())


def test_every_stage_leaves_its_files(data: Path) -> None:
    for name in (
        "01_raw/simweb/pool",
        "02_intermediate/pool/manifest.parquet",
        "02_intermediate/pool/expectations.json",
        "04_feature/pool",
    ):
        assert (data / name).exists(), name
    assert (data / "07_model_output/reference/check/scores.png").is_file()
    verdicts = [
        run_record(data, run).get("reference_check", {}).get("verdict") for run in ("reference", "jest", "uniform")
    ]
    assert verdicts == [None, check_of(data)["verdict"], None]
    for run in ("reference", "jest", "uniform"):
        assert (data / "06_models" / run / "open_clip_model.safetensors").is_file()
        assert run_record(data, run)["status"] == "finished"
        assert {path.stem for path in (data / "07_model_output" / run / "evaluation").glob("*.json")} == {
            "classification",
            "retrieval",
        }
        results = json.loads((data / "07_model_output" / run / "evaluation" / "classification.json").read_text())
        assert 0 <= results["metrics"]["linear_probe"] <= 1


def test_the_report_compares(data: Path) -> None:
    reporting = data / "08_reporting"
    rows = list(csv.DictReader((reporting / "table.csv").open()))
    assert {row["method"] for row in rows} >= {"jest", "uniform"}
    page = (reporting / "report.html").read_text()
    assert not re.search(r"""(src|href)=["']?https?:""", page), "the page must open offline"
    assert len(re.findall(r"\d of these 8 are of this class; the set has 2", page)) == 4 * 2  # classes, runs
    for figure in ("accuracy_by_steps", "accuracy_by_samples", "accuracy_by_flops", "accuracy_by_seconds", "purity"):
        assert (reporting / f"{figure}.png").stat().st_size > 1_000


def test_nothing_is_left_over(data: Path) -> None:
    assert not list(data.rglob("*.tmp"))
    assert not list(data.rglob("*.old"))


def test_a_second_run_finds_everything_up_to_date(project: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*.safetensors")}
    again = run_again(project, "--pipelines=jest", *UNREPORTED)
    assert before == {path: path.stat().st_mtime_ns for path in data.rglob("*.safetensors")}
    for what in ("simweb", "pool set", "pool features", "jest", "uniform", "reference", "reference check"):
        assert re.search(rf"\b{what}: up to date", again.stderr), what


LIBRARY = PROJECT / "docs" / "library.md"
NOTEBOOK = "%load_ext kedro.ipython\n%reload_kedro --env=quick\n"
LOOK_AT_WHAT_CAME = """
import io
import numpy as np
from PIL import Image

assert list(ledger["step"]) == list(range(10)) and ledger["loss"].notna().all()
assert picks["row"].isin(manifest.index).all()
assert cosines.shape == (1, 2) and cosines.abs().max() <= 1 and not clip.model.training
assert {"classification", "retrieval"} == set(catalog.load("jest.results")["set"])
assert len(catalog.load("pool.rejects")) and len(catalog.load("reference.evaluations"))

place = manifest.loc[5]
with open(place["shard"], "rb") as shard:
    shard.seek(place["offset"])
    image = Image.open(io.BytesIO(shard.read(place["length"])))
reference, cached = catalog.load("reference.model"), catalog.load("pool.embeddings")
ours = embed_images(reference, [image]), embed_texts(reference, [place["captions"][0]])
for mine, theirs in zip(ours, cached.rows(np.array([5]))):
    assert abs(mine.numpy() - theirs).max() < 1e-3
try:
    catalog.load("filtered.picks")
except Exception as error:
    print("all is as told:", error)
"""


def test_the_page_on_the_library_runs_in_a_notebook(project: Path, data: Path) -> None:
    Image.new("RGB", (90, 60), "red").save(project / "photo.jpg")
    told = re.findall(r"```python\n(.*?)```", LIBRARY.read_text(), re.DOTALL)
    (project / "page.ipy").write_text(NOTEBOOK + "\n".join(told).replace('"data/', '"data/quick/') + LOOK_AT_WHAT_CAME)
    done = forked("ipython", project, "page.ipy", MPLBACKEND="agg")
    assert done.stdout.strip().splitlines()[-1] == (
        "all is as told: filtered.picks: data/quick/07_model_output/filtered/training/picks.parquet: not there yet; "
        "run `kedro run --pipelines=filtered` (there are: jest, reference, uniform)"
    ), done.stdout + done.stderr


LENIENT = "audit.worth_it_chance=0.25,audit.rarely_chance=0.85"  # ten steps show each row once at most


@pytest.fixture(scope="module")
def audit(project: Path, data: Path) -> Path:
    """The audit of the chain's own jest run."""
    done = run_again(project, "--pipeline=audit", params=LENIENT)
    assert done.stdout.strip().splitlines()[-1] == "Audit: data/quick/08_reporting/audit/audit.html"
    return data / "08_reporting" / "audit"


def test_the_audit_has_every_row_with_exact_counts(audit: Path, data: Path) -> None:
    rows = pd.read_parquet(audit / "rows.parquet")
    training = data / "07_model_output" / "jest" / "training"
    plan, picks = json.loads((training / "run.json").read_text())["plan"], pd.read_parquet(training / "picks.parquet")
    assert list(rows["key"]) == read_manifest(data / "02_intermediate" / "pool").keys
    order = Order(0, len(rows), plan["super_batch_size"])
    seen = np.bincount(np.concatenate([order.rows(step) for step in range(plan["steps"])]), minlength=len(rows))
    assert (rows["seen"] == seen).all()
    chosen = picks.loc[picks["chosen"], "row"]
    assert rows["chosen"].sum() == plan["steps"] * plan["batch_size"] == len(chosen)
    assert set(rows.loc[rows["verdict"] == "worth_it", "row"]) == set(chosen)
    assert set(rows["verdict"]) == {"worth_it", "unlearnable", "never_worth", "unseen"}


def test_the_audit_is_checked_against_the_truth(audit: Path) -> None:
    numbers = json.loads((audit / "metrics.json").read_text())
    assert 0 < numbers["unlearnable.bad.precision"] <= 1
    assert sum(value for name, value in numbers.items() if name.count(".") == 1 and name.endswith(".share")) == (
        pytest.approx(1, abs=1e-5)
    )
    page = (audit / "audit.html").read_text()
    assert "Against the truth" in page
    assert not re.search(r"""(src|href)=["']?https?:""", page), "the page must open offline"


def test_the_exported_rows_ingest_to_the_same_samples(audit: Path, data: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(audit / "rows.parquet")
    shards = sorted((audit / "subset" / "shards").glob("*.tar"))
    assert ingest(shards, tmp_path / "again")["rejected"] == 0
    columns = ["key", "sha256", "captions", "source"]
    wanted = read_manifest(data / "02_intermediate" / "pool").frame(columns)[rows["verdict"] == "worth_it"]
    again = read_manifest(tmp_path / "again").frame(columns)
    for name in columns:
        assert [str(value) for value in again[name]] == [str(value) for value in wanted[name]], name
    uids = np.load(audit / "subset" / "uids.npy")
    assert uids.dtype == np.dtype("u8,u8") and (uids == np.sort(uids)).all()
    assert len(uids) == wanted["sha256"].nunique()


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (
            "uniform",
            "Error: audit.run: 'uniform' trains on everything it draws (data/quick/07_model_output/uniform/training/",
        ),
        ("jset", "Error: audit.run: no finished run is called 'jset' (data/quick/07_model_output/jset/training); did"),
    ],
)
def test_a_run_that_can_not_be_audited_is_one_line(project: Path, data: Path, run: str, line: str) -> None:
    done = run_again(project, "--pipeline=audit", params=f"audit.run={run}", check=False)
    assert done.returncode == 1
    said = [text for text in (done.stdout + done.stderr).splitlines() if text.startswith("Error: ")]
    assert len(said) == 1 and said[0].startswith(line), done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def search(project: Path, data: Path) -> Done:
    """A search of the chain's pool by its own two runs."""
    return run_again(project, "--pipeline=search", params="search.query=red circle")


def test_a_search_ends_with_a_table_and_the_pages_place(search: Done, data: Path) -> None:
    lines = search.stdout.strip().splitlines()
    assert lines[-1] == "Search: data/quick/08_reporting/search.html"
    assert lines[0] == "Searched: 1,980 different pictures of pool, by jest beside uniform."
    assert lines[2] == "red circle" and lines[3].split() == ["rank", "jest", "uniform"]
    assert Image.open(data / "08_reporting" / "search.png").width > 800
    page = (data / "08_reporting" / "search.html").read_text()
    assert not re.search(r"""(src|href)=["']?https?:""", page), "the page must open offline"
    assert 500_000 < len(page) < 4_000_000


def test_a_search_finds_what_the_models_find(
    project: Path, search: Done, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)  # shards are named from there
    manifest = read_manifest(data / "02_intermediate" / "pool")
    first = np.unique([image.as_py() for image in manifest.column("sha256")], return_index=True)[1]
    rows = np.sort(first)
    pixels = ImageReader(manifest, 32).read(rows).transpose(0, 2, 3, 1)
    table = pd.read_csv(data / "08_reporting" / "search.csv")
    for run in ("jest", "uniform"):
        clip = load_checkpoint(data / "06_models" / run)
        images = embed_images(clip, [Image.fromarray(image) for image in pixels]).double().numpy()
        cosines = images @ embed_texts(clip, ["red circle"]).double().numpy()[0]
        mine = table[table["run"] == run]
        assert len(mine) == 12 and mine["row"].isin(rows).all() and list(mine["rank"]) == list(range(1, 13))
        theirs = cosines[np.searchsorted(rows, mine["row"])]
        assert np.allclose(mine["cosine"], theirs, atol=2e-3)
        assert np.allclose(theirs, -np.sort(-cosines)[:12], atol=2e-3), "none that is nearer was left out"


def test_a_second_search_embeds_nothing(project: Path, search: Done, data: Path) -> None:
    again = run_again(project, "--pipelines=search", params="search.query=zebra")
    for what in ("search pictures", "jest images", "uniform images"):
        assert re.search(rf"\b{what}: up to date", again.stderr), what
    assert "No caption searched has “zebra”" in again.stdout


def test_a_search_without_its_run_names_the_command_that_makes_it(project: Path, data: Path) -> None:
    done = run_again(project, "--pipeline=search", params="search.runs=[filtered]", check=False)
    assert "Error: data/quick/06_models/filtered: not there yet, or not finished; run `kedro run" in done.stderr
    assert "--pipelines=learner --namespaces=filtered --env=quick" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def export(project: Path, audit: Path) -> Done:
    """The chain's run taken away as far as no extra is needed, and the rows that the audit exported."""
    return run_again(project, "--pipeline=export", params=f"export.formats=[huggingface],export.sets=[audit],{LICENCE}")


LICENCE = "export.licence=apache-2.0"


def test_an_export_has_a_card_with_what_the_run_is(export: Done, data: Path) -> None:
    assert export.stdout.strip().splitlines()[-1] == "Export: data/quick/08_reporting/export/jest"
    folder = data / "08_reporting" / "export" / "jest" / "huggingface"
    card = (folder / "README.md").read_text()
    result = json.loads((data / "07_model_output" / "jest" / "evaluation" / "classification.json").read_text())
    record = run_record(data, "jest")
    for told in (
        "license: apache-2.0",
        "| pool | 1,980 | trained on |",
        "| curated | 200 | trained its reference |",
        "10 steps of 32 samples, seed 0, sigmoid loss. Each batch was chosen out of 160 candidates: joint selection by",
        "| learner and scoring, as executed |",
        f"| classification/top1 | {percent(result['metrics']['top1'])} % | [",
        "One seed (n = 1)",
        f"| run hash | {record['run_hash']} |",
        f"| SHA-256 of the weights | {record['digests']['weights']} |",
    ):
        assert told in card, told
    assert str(data.parents[1]) not in card, "no path of the machine"
    loaded: Any = open_clip.create_model(f"local-dir:{folder}").eval()
    own: Any = load_checkpoint(data / "06_models" / "jest").model
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(["red circle"])
    assert torch.equal(loaded.encode_text(ids), own.encode_text(ids))


def test_the_card_of_an_exported_set_lies_beside_its_files(export: Done, audit: Path, data: Path) -> None:
    folder = data / "08_reporting" / "data_cards" / "audit"
    card = json.loads((folder / "croissant.json").read_text())
    rows = json.loads((audit / "subset" / "subset.json").read_text())["rows"]
    assert f"{rows:,} samples in 1 WebDataset shard, as exported" in card["description"]
    for one in card["distribution"]:
        assert file_sha256(folder / one["contentUrl"]) == one["sha256"]
    assert [one["contentUrl"] for one in card["distribution"]] == ["manifest.parquet", "shards/00000.tar"]
    assert len(Manifest(folder / "manifest.parquet")) == rows


def test_a_second_export_has_nothing_to_do_and_an_unknown_run_is_told(project: Path, export: Done) -> None:
    given = f"export.formats=[huggingface],export.sets=[audit],{LICENCE}"
    again = run_again(project, "--pipeline=export", params=given)
    assert re.search(r"jest export: up to date", again.stderr) and "data cards: up to date" in again.stderr
    done = run_again(project, "--pipeline=export", params="export.run=jset", check=False)
    assert "Error: export.run: no run is called 'jset'; did you mean jest?" in done.stderr


@pytest.mark.slow
def test_understand_tells_what_the_runs_picked(
    project: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """benchmarks/understand.py: jest's picks by its record, those of easy_reference made again, bit for bit."""
    run_again(project, "--pipelines=learner", "--namespaces=easy_reference")
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    monkeypatch.setattr(sys, "argv", ["understand.py", "--quick", "--threads=1", "--data=data/quick"])
    importlib.import_module("understand").main()
    said = capsys.readouterr()
    runs = json.loads(said.out.splitlines()[-1])["runs"]
    assert said.err == "" and runs.keys() == {"jest", "uniform", "easy_reference"}, (
        "nothing was left out or came out otherwise"
    )
    assert abs(runs["uniform"]["percentile"] - 0.5) < 0.1
    assert runs["easy_reference"]["percentile"] > runs["uniform"]["percentile"], "even by a reference of ten steps"
    assert 0.2 < runs["uniform"]["purity"] < 0.5, "the truth was found"
    for name, how in {"jest": "estimated", "easy_reference": "made again"}.items():
        assert re.search(rf"^{name} +alone .* {how}$", said.out, re.MULTILINE)
        assert 1 / 5 < runs[name]["overlap"] <= 1, "more than by chance"
    assert "What the joint draw adds" in (data / "08_reporting" / "understand.html").read_text()


def test_two_views_stand_beside_jest_in_one_project(project: Path, data: Path) -> None:
    """flexi_jest reads what jest reads, and both of its views were measured."""
    run_again(project, "--pipelines=learner", "--namespaces=flexi_jest")
    record = run_record(data, "flexi_jest")
    assert {"headline", "low/headline", "low/classification/top1"} <= set(record["final"])
    views = record["flops"]
    assert views["forward_low"] / views["forward_full"] == pytest.approx(0.567, abs=0.003), "A, as docs/methods.md says"
    assert record["settings"]["reference"] == run_record(data, "jest")["settings"]["reference"]
    assert load_checkpoint(data / "06_models" / "flexi_jest").image_size == 32


def test_a_changed_parameter_trains_anew_and_only_that(project: Path, data: Path) -> None:
    changed = f"{ONE_THREAD},jest.learner.selection.gain=7"
    done = run_again(project, "--pipelines=learner", "--namespaces=uniform,jest", params=changed)
    assert re.search(r"jest: run hash \w+ starts from scratch", done.stderr)
    assert "uniform: up to date" in done.stderr
