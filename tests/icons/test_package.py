"""Where the icon sets come from, and what is said when they can't be had."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from superbatch.errors import UserError
from superbatch.icons.package import fetch_package, is_npm, package_digest, read_sets
from superbatch.icons.sets import IconSet
from superbatch.options import IconsSettings
from tests.icons.packages import by_name, contents, write_folder

NPM = "@iconify/json@9.9.9"
FAKE_NPM = """#!/bin/sh
echo "$@" >> {log}
{action}
"""


def write_tgz(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder / "package" / "json", "package/json")
        tar.addfile(tarfile.TarInfo("package/package.json"), io.BytesIO())
    return path


def fake_npm(monkeypatch: pytest.MonkeyPatch, folder: Path, action: str) -> Path:
    """Put an `npm` of our own on the path; returns the file that it notes its arguments in."""
    folder.mkdir()
    (folder / "npm").write_text(FAKE_NPM.format(log=folder / "log", action=action))
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "log"


def test_a_set_is_read_with_all_that_its_drawings_have(sets: list[IconSet]) -> None:
    plain = by_name(sets)["plain"]
    assert (plain.author, plain.team, plain.licence) == ("A", "a", "MIT")
    drawings = {one.name: one for one in plain.drawings}
    assert drawings["home"].aliases == ("house",)
    assert drawings["home"].categories == ("Things",)
    assert drawings["tower"].box == (0, 0, 48, 48)
    assert "withdrawn" not in drawings
    assert [one.name for one in sets] == sorted(contents())


def test_folder_tgz_and_npm_give_the_same(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tgz = write_tgz(package, tmp_path / "made.tgz")
    assert read_sets(tgz) == read_sets(package) == read_sets(package / "package") == read_sets(package / "package/json")
    digest = package_digest(str(tgz), "")
    log = fake_npm(monkeypatch, tmp_path / "bin", f'cp {tgz} "$5/it.tgz"')
    for _ in range(2):
        assert fetch_package(NPM, digest, tmp_path / "keep").read_bytes() == tgz.read_bytes()
    assert log.read_text().count("pack @iconify/json@9.9.9") == 1, "fetched once"
    assert package_digest(NPM, digest) == digest


def test_a_package_is_named_by_its_content(package: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(package, tmp_path / "copy")
    assert package_digest(str(copy), "") == package_digest(str(package), "")
    changed = copy / "package/json/plain.json"
    changed.write_text(changed.read_text().replace("Things", "Others"))
    assert package_digest(str(copy), "") != package_digest(str(package), "")


@pytest.mark.parametrize(
    ("package", "npm"),
    [(IconsSettings().package, True), ("@iconify/json@2.2.535", True), ("sets.tgz", False), ("x", False)],
)
def test_what_npm_is_asked_for(package: str, npm: bool) -> None:
    assert is_npm(package) == npm


def test_without_npm_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UserError, match=r"^icons\.package: npm, which fetches .* not found; install Node\.js, or run `npm pack"
    ):
        fetch_package(NPM, "", tmp_path / "keep")
    assert not (tmp_path / "keep").exists() or not list((tmp_path / "keep").iterdir())


def test_npm_that_fails_is_told_by_its_own_first_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_npm(monkeypatch, tmp_path / "bin", "echo 'npm error 404 Not Found' >&2; exit 1")
    with pytest.raises(UserError, match=r"`npm pack @iconify/json@9\.9\.9` failed: npm error 404 Not Found; install"):
        fetch_package(NPM, "", tmp_path / "keep")


def test_another_package_than_the_pinned_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: Path
) -> None:
    tgz = write_tgz(package, tmp_path / "made.tgz")
    fake_npm(monkeypatch, tmp_path / "bin", f'cp {tgz} "$5/it.tgz"')
    with pytest.raises(
        UserError, match=r"^icons\.digest: npm's @iconify/json@9\.9\.9 is sha512-.*, not sha512-other; correct"
    ):
        fetch_package(NPM, "sha512-other", tmp_path / "keep")
    assert not list((tmp_path / "keep").iterdir())


def bad(name: str, folder: Path) -> Path:
    """A package with one mistake."""
    sets = contents()
    if name == "empty":
        sets = {}
    if name == "no licence block":
        del sets["plain"]["info"]["license"]
    if name == "icons are a list":
        sets["plain"]["icons"] = ["home"]
    write_folder(folder, sets)
    if name == "no json":
        (folder / "package/json/plain.json").write_text("{")
    if name == "cut":
        tgz = write_tgz(folder, folder / "cut.tgz")
        tgz.write_bytes(tgz.read_bytes()[:200])
        return tgz
    return folder


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("empty", r"has no icon sets \(package/json/\*\.json\); name the package @iconify/json in icons\.package"),
        (
            "no licence block",
            r"plain\.json: is not an icon set like those of @iconify/json \(KeyError: 'license'\); name the package",
        ),
        ("icons are a list", r"plain\.json: is not an icon set like those of @iconify/json \(AttributeError"),
        (
            "no json",
            r"plain\.json: is not valid JSON \(Expecting .*\); fetch the package again, or correct icons\.package",
        ),
        ("cut", r"cut\.tgz: is not a readable package \(.*\); fetch it again"),
    ],
)
def test_a_bad_package_is_one_line(name: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line) as caught:
        read_sets(bad(name, tmp_path))
    assert "\n" not in str(caught.value)


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such file or folder; name a folder, a \.tgz, or a package"):
        package_digest(str(tmp_path / "nowhere"), "")
    with pytest.raises(UserError, match=r"nowhere: no such file or folder"):
        read_sets(tmp_path / "nowhere")


def test_names_without_style_words_come_with_the_set(sets: list[IconSet]) -> None:
    styled = {one.name: one.concept for one in by_name(sets)["styled"].drawings}
    assert styled["traffic-light-fill"] == "traffic light"
