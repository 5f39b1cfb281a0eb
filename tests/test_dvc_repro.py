"""`dvc repro` in a fresh clone: everything once, then nothing; and a clone that pulls finds nothing to do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project import PROJECT, command, copy_project

TINY = """
simweb: {pool_pairs: 1000, curated_pairs: 100, shard_size: 500, jobs: 1,
  validation_images_per_class: 1, test_images_per_class: 1, validation_retrieval_images: 20, test_retrieval_images: 20}
ingest: {jobs: 1}
reference: {training: {batch_size: 16, steps: 2, evaluate_every: 2}}
learner: {training: {batch_size: 16, steps: 2, evaluate_every: 2, checkpoint_every: 2}}
"""


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command(folder, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = copy_project(tmp_path_factory.mktemp("work") / "project")
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(PROJECT / name, made)
    (made / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(PROJECT / ".dvc" / name, made / ".dvc")
    (made / "src" / ".gitkeep").touch()
    (made / "conf" / "local" / "parameters.yml").write_text(TINY)
    git(made, "init", "--quiet")
    command(made, "dvc", "repro")
    return made


def test_a_second_repro_does_nothing(project: Path) -> None:
    assert "Data and pipelines are up to date." in command(project, "dvc", "repro").stdout


def test_a_clone_that_pulls_has_nothing_to_do(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=all")
    assert not git(project, "status", "--porcelain").stdout
    assert not [name for name in git(project, "ls-files", "data").stdout.split() if not name.endswith(".gitkeep")]
    command(project, "dvc", "push")
    assert (project.parent / "superbatch-store").is_dir()
    clone = project.parent / "clone"
    git(project.parent, "clone", "--quiet", str(project), str(clone))
    shutil.copytree(project / "conf" / "local", clone / "conf" / "local", dirs_exist_ok=True)
    command(clone, "dvc", "pull")
    assert "Data and pipelines are up to date." in command(clone, "dvc", "repro").stdout


def test_a_changed_parameter_runs_what_depends_on_it(project: Path) -> None:
    methods = project / "conf" / "base" / "parameters_methods.yml"
    methods.write_text(methods.read_text().replace("keep_share: 0.3", "keep_share: 0.4"))
    said = command(project, "dvc", "repro").stdout
    assert [line for line in said.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'learner@filtered':", "Running stage 'evaluate@filtered':", "Running stage 'report':",
    ]  # fmt: skip
