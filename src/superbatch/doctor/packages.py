"""Python, the packages that Superbatch needs, and the optional ones, by what the installed package says of itself."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from superbatch.doctor.finding import Finding
from superbatch.extras import installing, of_extra

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# What is off without an extra. Those for people who work on Superbatch itself are not looked at.
FEATURES = {
    "icons": "rendering the pool of drawings (make icons)",
    "viz": "the pipelines in the browser (kedro viz run)",
    "ray": "ingest, embed and curate on a Ray cluster",
    "dask": "ingest, embed and curate on a Dask cluster",
    "s3": "data in S3",
    "gs": "data in Google Cloud Storage",
    "export": "ONNX and Croissant of kedro run --pipeline=export",
    "trackers": "TensorBoard, MLflow and DVCLive",
}
VersionOf = Callable[[str], str]  # a package's version; PackageNotFoundError where it is not installed


def check_packages(version_of: VersionOf = metadata.version) -> Iterator[Finding]:
    """Compare Python and packages with what the installed Superbatch asks for."""
    try:
        about = metadata.metadata("superbatch")
    except metadata.PackageNotFoundError:
        remedy = "run `pip install -e .` in its folder"
        yield Finding(
            "superbatch", "missing", "it is on the path, but was not installed: no package was checked", remedy
        )
        return
    yield check_python(about["Requires-Python"] or "", platform.python_version())
    wanted = about.get_all("Requires-Dist") or []
    yield from check_needed(wanted, version_of)
    yield from check_extras(wanted, version_of)


def check_python(wanted: str, version: str) -> Finding:
    """Compare Python's version with the range that is wanted, such as `>=3.11,<3.14`."""
    from packaging.specifiers import SpecifierSet

    if version in SpecifierSet(wanted):
        return Finding("python", "ok", version)
    return Finding("python", "missing", f"{version}, and {wanted} is needed", "make an environment with such a Python")


def check_needed(wanted: Iterable[str], version_of: VersionOf) -> Iterator[Finding]:
    """Look at the packages that are always needed: a line for each that is wrong, else one for all.

    Args:
        wanted: requirements as a package's metadata have them, those of extras too.
        version_of: the installed version of a package.
    """
    needed = [one for one in _parsed(wanted) if _applies(one, "")]
    wrong = [(one, problem) for one in needed if (problem := _problem(one, version_of))]
    for one, problem in wrong:
        yield Finding("packages", "missing", problem, installing(_without_marker(one)))
    if not wrong:
        yield Finding("packages", "ok", f"all {len(needed)} that are needed, in versions that fit")


def check_extras(wanted: Iterable[str], version_of: VersionOf) -> Iterator[Finding]:
    """Look at the optional extras: a line each."""
    parsed = _parsed(wanted)
    for extra, feature in FEATURES.items():
        own = [one for one in parsed if _applies(one, extra) and not _applies(one, "")]
        problems = [problem for one in own if (problem := _problem(one, version_of))]
        if not own:
            continue
        if problems:
            yield Finding(extra, "off", f"{feature}: {', '.join(problems)}", installing(of_extra(extra)))
        else:
            yield Finding(extra, "ok", feature)


def _parsed(wanted: Iterable[str]) -> list[Requirement]:
    from packaging.requirements import Requirement

    return [Requirement(line) for line in wanted]


def _applies(one: Requirement, extra: str) -> bool:
    return one.marker is None or one.marker.evaluate({"extra": extra})


def _problem(one: Requirement, version_of: VersionOf) -> str:
    """Say what is wrong with a package; nothing if its version is right."""
    try:
        version = version_of(one.name)
    except metadata.PackageNotFoundError:
        return f"{one.name} is not installed"
    fits = one.specifier.contains(version, prereleases=True)
    return "" if fits else f"{one.name} is {version}, and {one.specifier} is needed"


def _without_marker(one: Requirement) -> str:
    extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
    return f"{one.name}{extras}{one.specifier}"
