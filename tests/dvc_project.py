"""A small project with DVC and git, as a user has it, for tests that run the commands of both."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import yaml

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.nested import merge
from tests.forked import Done, forked, stand_in
from tests.forked_kedro import forked_kedro
from tests.project import PROJECT, UNREPORTED, command, copy_project

METHODS = "conf/base/parameters_methods.yml"

TINY = """
simweb: {pool_pairs: 400, curated_pairs: 100, shard_size: 200, jobs: 1,
  validation_images_per_class: 1, test_images_per_class: 1, validation_retrieval_images: 20, test_retrieval_images: 20}
ingest: {jobs: 1}
embed: {jobs: 1}
reference: {training: {batch_size: 16, steps: 2, evaluate_every: 2, threads: 1}}
learner: {training: {batch_size: 16, steps: 2, evaluate_every: 2, checkpoint_every: 2, threads: 1}}
evaluate: {linear_probe: null}
"""


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command(folder, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments)


def dvc(folder: Path, *arguments: str) -> str:
    """Run a DVC command; returns what it printed."""
    return dvc_done(folder, *arguments).stdout


def dvc_done(folder: Path, *arguments: str, check: bool = True) -> Done:
    """Run a DVC command, forked, as the `kedro` that it starts.

    Who commits experiments is told, since a fresh machine knows nobody.
    """
    known = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return forked("dvc", folder, *arguments, check=check, PATH=stand_in(), **known)


def ran(said: str) -> list[str]:
    """Names of the stages that DVC says it ran."""
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]


def change(file: Path, changes: dict) -> None:
    file.write_text(yaml.safe_dump(merge(yaml.safe_load(file.read_text()), changes)))


def dvc_project(folder: Path) -> Path:
    """Make the project: all that git has of a real one but the package, with tiny settings; nothing has run."""
    made = copy_project(folder)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(PROJECT / name, made)
    shutil.copytree(PROJECT / ".dvc" / "plots", made / ".dvc" / "plots")
    for name in ("config", ".gitignore"):
        shutil.copy(PROJECT / ".dvc" / name, made / ".dvc")
    for empty in ("src", "conf/local"):
        (made / empty / ".gitkeep").touch()
    for file in PROJECT.glob("benchmarks/**/dvc.yaml"):  # further stages, which nobody has asked for
        (made / file.relative_to(PROJECT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, made / file.relative_to(PROJECT))
    change(made / "conf/base/parameters.yml", yaml.safe_load(TINY))
    git(made, "init", "--quiet")
    return made


def commit(project: Path) -> None:
    """Put into git what DVC leaves for it."""
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=all")


def contents(folder: Path) -> dict[str, str]:
    """Digests of all files below a folder."""
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def models(project: Path) -> dict[str, str]:
    """What training, measuring and reading left, by content; the ledger has seconds, so another training differs."""
    folders = ("01_raw", "02_intermediate", "04_feature", "06_models", "07_model_output")
    found = {f"{folder}/{k}": v for folder in folders for k, v in contents(project / "data" / folder).items()}
    return {name: digest for name, digest in found.items() if not (name.endswith(".gitignore") or "/.state/" in name)}


def finished_project(folder: Path) -> None:
    """Make the project in `<folder>/project`, and what it is about: `kedro run` makes jest's chain but for its report, `dvc repro`
    takes that and makes the rest; committed and pushed.

    Beside it lie models.json (`models` before DVC came) and repro.txt (what DVC said).
    """
    project = dvc_project(folder / "project")
    forked_kedro(project, "run", "--pipeline=jest", *UNREPORTED, check=True)
    (folder / "models.json").write_text(json.dumps(models(project)))
    repro = dvc_done(project, "repro")
    (folder / "repro.txt").write_text(repro.stdout + repro.stderr)
    commit(project)
    dvc(project, "push")
