"""The project here: its parameters, its data folder, its shards, git and DVC."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from superbatch.checks import check_path
from superbatch.doctor.finding import Finding
from superbatch.errors import UserError


def check_project(project: Path | None, env: str | None = None) -> Iterator[Finding]:
    """Check the project that the working directory is in.

    Args:
        project: its folder; None where there is none. env: of configuration; None: `local`.
    """
    if project is None:
        yield Finding("project", "off", "none here or in a folder above", "`superbatch init DIR` makes one")
        return
    try:
        check_path(project)
    except UserError as error:
        yield Finding("project", "missing", f"{error.where}: {error.what}", error.remedy)
        return
    yield Finding("project", "ok", str(project))
    parameters, data, finding = read_conf(project, env)
    yield finding
    if parameters is not None:
        yield check_folder(project / data)
        yield from check_shards(parameters)
    yield check_git(project)
    yield check_dvc(project)


def read_conf(project: Path, env: str | None) -> tuple[dict[str, Any] | None, str, Finding]:
    """Read and check all parameters; returns them, the data folder, and what was found. No parameters: they can't be used."""
    from kedro.config import OmegaConfigLoader

    from superbatch.checks import check_all
    from superbatch.mistakes import told
    from superbatch.settings import CONFIG_LOADER_ARGS

    check, folder = "conf", env or "local"
    try:
        given: Any = dict(CONFIG_LOADER_ARGS)
        loader = OmegaConfigLoader(str(project / "conf"), env=env, **given)
        parameters = loader["parameters"]
        check_all(parameters)
        data = str(loader["globals"].get("data", "data"))
    except Exception as error:
        line = told(error)
        if line is None:
            raise
        return None, "", Finding(check, "missing", line, "" if ";" in line else "correct it")
    return (
        parameters,
        data,
        Finding(check, "ok", f"conf/base and conf/{folder}: every parameter is known and in its bounds"),
    )


def check_folder(folder: Path) -> Finding:
    """Check that the data folder, or the one above that it would be made in, can be written to."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding("data", "ok", str(folder))
    remedy = "give this user the right to, or set `data` in conf/base/globals.yml"
    return Finding("data", "missing", f"{there} can't be written to", remedy)


def check_shards(parameters: dict[str, Any]) -> Iterator[Finding]:
    """Look for the shards and evaluation sets of one's own; what the embedded default renders need not be there yet.

    Paths count from the working directory, which is the project's folder.
    """
    from superbatch.config import IngestSettings, read
    from superbatch.pipelines.ingest.checks import check_validation, missing_splits
    from superbatch.pipelines.sources import is_rendered, used_sources

    ingest = read(IngestSettings, parameters.get("ingest"), "ingest")
    made = used_sources(ingest)
    if made:
        yield Finding("shards", "ok", f"{' and '.join(made)}, rendered where it is not there yet")
    for name, one in (("pool", ingest.pool), ("curated", ingest.curated)):
        patterns = [one.shards] if isinstance(one.shards, str) else one.shards
        own = [pattern for pattern in patterns if not is_rendered(pattern)]
        if own:
            yield _look_for(name, own)
    faults = list(missing_splits(ingest))
    try:
        check_validation(parameters["ingest"])
    except UserError as error:
        faults.append(error)
    yield from (Finding("shards", "missing", f"{fault.where}: {fault.what}", fault.remedy) for fault in faults)


def _look_for(name: str, patterns: list[str]) -> Finding:
    """Look for the shards of a set; what lies in a store is not asked for, since that needs a network."""
    from superbatch.files import expand_shards

    if any(map(_in_store, patterns)):
        return Finding("shards", "ok", f"{name}: in a store, which was not asked")
    try:
        shards = [Path(str(shard)) for shard in expand_shards(patterns, f"ingest.{name}.shards")]
    except UserError as error:
        return Finding("shards", "missing", str(error))
    size = sum(shard.stat().st_size for shard in shards)
    return Finding("shards", "ok", f"{name}: {len(shards)} shards, {size / 1e6:.1f} MB")


def _in_store(pattern: str) -> bool:
    from superbatch.listing import place_of

    return place_of(pattern)[0] is not None


def check_git(project: Path) -> Finding:
    """Say whether git records the project."""
    if any((place / ".git").exists() for place in (project, *project.parents)):
        return Finding("repository", "ok", "git records the project")
    return Finding("repository", "off", "no git here: the report names no commit", "git init")


def check_dvc(project: Path) -> Finding:
    """Say whether DVC can be used in the project."""
    if (project / ".dvc").is_dir() and (project / "dvc.yaml").is_file():
        return Finding("dvc", "ok", "dvc.yaml and .dvc are here")
    if (project / "dvc.yaml").is_file():
        return Finding("dvc", "off", "dvc.yaml without .dvc: `dvc repro` can't be used", "dvc init")
    return Finding("dvc", "off", "not used in this project; nothing needs it")
