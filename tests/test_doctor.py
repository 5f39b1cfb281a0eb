"""`superbatch doctor`: each check in a made-up environment, and the command in a project and outside one."""

from __future__ import annotations

import json
import os
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from superbatch import entry
from superbatch.doctor import examination, machine, packages, project
from superbatch.doctor.finding import Finding
from superbatch.doctor.machine import Torch
from tests.project import PROJECT, copy_project

WANTED = ["kedro<2,>=1.7", "torch>=2.8", "ray>=2.50; extra == 'ray'", "kedro-viz<13,>=12.5; extra == 'viz'"]
CPU = Torch("2.9.0", None, (), False, 2)


def versions(**installed: str):
    def version_of(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    return version_of


def test_python_outside_the_range() -> None:
    assert packages.check_python(">=3.11,<3.14", "3.11.7").status == "ok"
    found = packages.check_python(">=3.11,<3.14", "3.14.0")
    assert (
        found.line()
        == "missing  python       3.14.0, and >=3.11,<3.14 is needed; make an environment with such a Python"
    )


def test_packages_that_are_missing_or_of_another_version() -> None:
    (fine,) = packages.check_needed(WANTED, versions(kedro="1.7.2", torch="2.9.0+cpu"))
    assert fine == Finding("packages", "ok", "all 2 that are needed, in versions that fit")
    old, absent = packages.check_needed(WANTED, versions(kedro="0.19.3"))
    assert old == Finding(
        "packages", "missing", "kedro is 0.19.3, and <2,>=1.7 is needed", "run `pip install 'kedro<2,>=1.7'`"
    )
    assert absent == Finding("packages", "missing", "torch is not installed", "run `pip install 'torch>=2.8'`")


def test_an_extra_that_is_missing_is_off_and_says_how_to_install_it() -> None:
    viz, ray = packages.check_extras(WANTED, versions(**{"kedro-viz": "12.6"}))
    assert viz.status == "ok"
    assert ray == Finding(
        "ray",
        "off",
        "ingest, embed and curate on a Ray cluster: ray is not installed",
        "run `pip install 'superbatch[ray]'`",
    )


def test_every_extra_for_users_has_its_feature() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(packages.FEATURES) == set(extras) - {"dev", "docs", "test-extras"}


def test_superbatch_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", nothing)
    (found,) = packages.check_packages()
    assert found.status == "missing" and found.remedy == "run `pip install -e .` in its folder"


def test_torch_that_does_not_load() -> None:
    def broken() -> Torch:
        raise OSError("libcudart.so.12: cannot open shared object file:\n No such file")

    (found,) = machine.check_torch(2, broken)
    assert found.status == "missing"
    assert found.found == "does not load (libcudart.so.12: cannot open shared object file: No such file)"


@pytest.mark.parametrize(
    ("torch", "driver", "status", "words"),
    [
        (CPU, None, "ok", "cpu: no GPU here"),
        (CPU, "570.12", "warning", "built without CUDA"),
        (Torch("2.9.0", "13.0", (), False, 2), "535.1", "warning", "built for CUDA 13.0, finds no GPU"),
        (Torch("2.9.0", "12.8", ("NVIDIA H200",), False, 2), "570.12", "ok", "cuda: NVIDIA H200, driver 570.12"),
        (Torch("2.9.0", None, (), True, 2), None, "ok", "mps"),
    ],
)
def test_a_gpu_that_torch_can_not_use(torch: Torch, driver: str | None, status: str, words: str) -> None:
    found = machine.check_device(torch, driver)
    assert found.status == status and words in found.found
    assert bool(found.remedy) == (status == "warning")


def test_more_threads_than_cores(tmp_path: Path) -> None:
    assert [found.status for found in machine.check_torch(2, lambda: CPU, tmp_path / "no")] == ["ok"] * 3
    *_, threads = machine.check_torch(1, lambda: CPU, tmp_path / "no")
    assert threads == Finding("threads", "warning", "torch computes with 2 on 1 cores", "export OMP_NUM_THREADS=1")


def test_the_drivers_version(tmp_path: Path) -> None:
    file = tmp_path / "version"
    assert machine.driver_version(file) is None
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.124.06  Wed Feb 26\n")
    assert machine.driver_version(file) == "570.124.06"


def test_what_a_container_gives(tmp_path: Path) -> None:
    bound = len(os.sched_getaffinity(0))
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000000 kB\nMemAvailable: 4000000 kB\n")
    assert machine.usable_cores(tmp_path) == bound
    assert machine.free_memory(meminfo, tmp_path) == 4_096_000_000
    for name, text in {"cpu.max": "100000 100000", "memory.max": "3000", "memory.current": "1000"}.items():
        (tmp_path / name).write_text(text)
    assert machine.usable_cores(tmp_path) == 1
    assert machine.free_memory(meminfo, tmp_path) == 2000
    (tmp_path / "cpu.max").write_text("max 100000")
    (tmp_path / "memory.max").write_text("max")
    assert machine.usable_cores(tmp_path) == bound
    assert machine.free_memory(meminfo, tmp_path) == 4_096_000_000
    assert machine.free_memory(tmp_path / "none", tmp_path) is None


def test_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 64_000_000})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: usage)
    memory, disk, shared = machine.check_room(tmp_path, 10**9, tmp_path)
    assert memory.line().startswith("warning  memory       1.0 GB free, and 2 are wanted; close other programs")
    assert disk.status == shared.status == "warning"
    assert "--shm-size" in shared.remedy and shared.found.startswith("0.1 GB free of ")


def test_a_program_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/bin/make" if name == "make" else None)
    git, make = machine.check_programs()
    assert (
        git.line()
        == "warning  git          not found; DVC and the record of a run need it; install it (apt-get install git)"
    )
    assert make.status == "ok"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


def local(folder: Path, text: str) -> list[Finding]:
    (folder / "conf" / "local" / "parameters.yml").write_text(text)
    return list(project.check_project(folder))


def of(check: str, found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.check == check]


def test_a_project_that_is_ready(folder: Path) -> None:
    found = local(folder, "")
    assert all(one.status in ("ok", "off") for one in found)
    assert of("shards", found)[0].found == "simweb, rendered where it is not there yet"
    assert of("dvc", found) == [Finding("dvc", "off", "not used in this project; nothing needs it")]


def test_parameters_that_can_not_be_used(folder: Path) -> None:
    (conf,) = of("conf", local(folder, "learner: {trainin: {}}"))
    assert conf.line() == "missing  conf         learner.trainin: unknown parameter; did you mean training?"
    (conf,) = of("conf", local(folder, "learner: {training: {"))
    assert conf.status == "missing" and "local/parameters.yml" in conf.found
    (folder / "conf" / "local" / "parameters.yml").unlink()
    (conf,) = of("conf", list(project.check_project(folder, "quik")))
    assert conf.status == "missing" and "quik" in conf.found


def test_shards_of_ones_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "mine").mkdir()
    (folder / "mine" / "0.tar").write_bytes(b"0" * 3_000_000)
    sets = "{classification: null, retrieval: null, birds: {root: birds}}"
    text = f"ingest: {{pool: {{shards: mine/*.tar}}, curated: {{shards: mine}}, evaluation: {sets}}}\nreport: {{metric: headline}}"
    pool, curated, birds = of("shards", local(folder, text))
    assert pool == Finding("shards", "ok", "pool: 1 shards, 3.0 MB")
    assert curated.status == "missing" and curated.found.startswith("ingest.curated.shards: mine: is a folder; name")
    assert birds.found == "ingest.evaluation.birds.root: birds: no such folder"


def test_shards_of_ones_own_beside_rendered_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    sets = "{classification: null, birds: {root: birds}}"
    own = f"{{pool: {{shards: nowhere/*.tar}}, evaluation: {sets}}}"
    rendered, pool, birds = of("shards", local(folder, f"ingest: {own}\nreport: {{metric: headline}}"))
    assert rendered.found == "simweb, rendered where it is not there yet"
    assert pool.status == "missing" and pool.found.startswith("ingest.pool.shards: nowhere/*.tar: no such shard")
    assert birds.found == "ingest.evaluation.birds.root: birds: no such folder"


def test_splits_that_are_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    (folder / "sets" / "test").mkdir(parents=True)
    (folder / "sets" / "test" / "0.tar").touch()
    photos = "{root: ~/sets, splits: {test: test, train: 'train-*.tar'}}"
    sets = f"{{classification: null, retrieval: null, birds: {{root: sets}}, photos: {photos}}}"
    found = of("shards", local(folder, f"ingest: {{evaluation: {sets}}}\nreport: {{metric: headline}}"))
    assert [one.found for one in found if one.status == "missing"] == [
        "ingest.evaluation.birds.splits.validation: sets/validation: no such split",
        f"ingest.evaluation.photos.splits.train: {folder}/sets/train-*.tar: no such shard",
    ]
    sets = f"{{classification: null, retrieval: null, photos: {photos}}}"
    found = of("shards", local(folder, f"ingest: {{evaluation: {sets}}}\nreport: {{metric: headline}}"))
    assert found[-1].found == "ingest.evaluation: no set has a split 'validation', which trainings are measured on"


def test_shards_in_a_store_are_not_asked_for(folder: Path) -> None:
    sets = "{classification: null, retrieval: null, birds: {root: s3://mine/birds}}"
    text = f"ingest: {{pool: {{shards: s3://mine/*.tar}}, curated: {{shards: conf}}, evaluation: {sets}}}\nreport: {{metric: headline}}"
    pool, curated = of("shards", local(folder, text))
    assert pool == Finding("shards", "ok", "pool: in a store, which was not asked")
    assert curated.status == "missing"


def test_a_data_folder_that_can_not_be_written_to(tmp_path: Path) -> None:
    assert project.check_folder(tmp_path / "data" / "new").status == "ok"
    (tmp_path / "data").write_text("a file")
    assert project.check_folder(tmp_path / "data").status == "missing"


def test_git_and_dvc(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    assert project.check_dvc(tmp_path).remedy == "dvc init"
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".git").mkdir()
    assert project.check_dvc(tmp_path).status == project.check_git(tmp_path).status == "ok"


def test_the_command_outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(examination, "check_packages", lambda: [Finding("python", "ok", "3.11.7")])
    done = CliRunner().invoke(entry.superbatch, ["doctor", "--json"])
    found = {one["check"]: one for one in json.loads(done.output)}
    assert done.exit_code == 0
    assert found["project"]["status"] == "off" and "superbatch init" in found["project"]["remedy"]
    assert {"torch", "device", "threads", "disk"} <= found.keys()


def test_the_command_fails_where_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import superbatch.doctor

    findings = [Finding("torch", "missing", "is not installed", "install it"), Finding("disk", "warning", "is full")]
    monkeypatch.setattr(superbatch.doctor, "examine", lambda env: iter(findings))
    done = CliRunner().invoke(entry.superbatch, ["doctor"])
    assert done.exit_code == 1
    assert done.output.splitlines() == [finding.line() for finding in findings]
