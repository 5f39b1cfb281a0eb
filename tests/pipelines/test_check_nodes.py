"""The check as a stage: done once, told in a line, and where the settings ask for it the end of the run."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from superbatch.artifacts.places import set_places
from superbatch.artifacts.stamps import publish, read_stamp
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.pipelines.check.nodes import check_reference
from superbatch.tasks import check as checking

SCORES = {"edges": [0.0, 0.5, 1.0], "pool": [3, 2], "true": [1, 4], "exchanged": [4, 1]}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A check whose outcome is known; the verdict is that of the reference's folder's name."""
    times: list[str] = []

    def check(checked: Any, device: str) -> dict[str, Any]:
        times.append(device)
        line = f"the reference {checked.fingerprint}: AUC 0.55"
        return {
            "verdict": checked.fingerprint,
            "line": line,
            "remedy": "curate more",
            "sentence": f"{line}; curate more",
            "scores": SCORES,
        }

    monkeypatch.setattr(checking, "check", check)
    monkeypatch.setattr(checking.Checked, "of", lambda model, *_: SimpleNamespace(fingerprint=model.name))
    return times


def run(folder: Path, verdict: str, stop: str | None = None) -> Any:
    place = folder / "data" / "check"
    set_places([place])
    try:
        none = folder / "none"
        return check_reference(
            "reference", Path(verdict), none, none, none, {"stop": stop}, {"stages": str(folder / "stages")}
        )
    finally:
        set_places([])


def test_it_is_made_once_and_told_each_time(tmp_path: Path, made: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        publish(run(tmp_path, "would_harm"), tmp_path / "data" / "check")
    assert made == ["auto"]
    assert [text for text in caplog.messages if "AUC" in text] == [
        "reference check: the reference would_harm: AUC 0.55; curate more"
    ] * 2
    assert {file.name for file in (tmp_path / "data" / "check").iterdir()} == {
        "check.json",
        "scores.png",
        "stage.stamp",
    }
    assert (tmp_path / "data" / "check" / "scores.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("verdict", "stop", "stops"),
    [
        ("would_harm", None, False), ("would_harm", "would_harm", True), ("would_harm", "unsure", True), ("unsure", "would_harm", False),
        ("unsure", "unsure", True), ("helps", "unsure", False),
    ],
)  # fmt: skip
def test_a_run_ends_at_the_verdict_that_is_to_stop_it(
    tmp_path: Path, made: list[str], verdict: str, stop: str | None, stops: bool
) -> None:
    if not stops:
        assert run(tmp_path, verdict, stop).fingerprint == verdict
        return
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            run(tmp_path, verdict, stop)
        where = tmp_path / "data" / "check"
        assert str(caught.value) == f"check.stop: the reference {verdict}: AUC 0.55 ({where}); curate more"
        assert read_stamp(where) == verdict and read_json(where / "check.json")["verdict"] == verdict
    assert made == ["auto"], "what was found is kept"
