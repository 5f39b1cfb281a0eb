"""DVC's daily commands in a fresh project, as docs/dvc.md tells them: run, share, experiment, compare, keep, go back, sweep."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.dvc_project import METHODS, change, dvc, dvc_project, finished_project, git, ran
from tests.killed import killed_once
from tests.project import command, copy_of

KEEP_SHARE = f"{METHODS}:filtered.learner.pool.keep_share"
FILTERED = ["learner@filtered", "evaluate@filtered", "report"]  # the stages that `filtered` goes through


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of("finished", finished_project, tmp_path_factory) / "project"


def as_committed(project: Path) -> None:
    """Go back to what git knows, so that a test does not depend on those before it."""
    git(project, "checkout", "--quiet", "conf", "dvc.lock")
    dvc(project, "checkout")


@pytest.mark.slow
def test_the_first_repro_makes_everything(tmp_path: Path) -> None:
    """Each stage in a command of its own; elsewhere, most of what it finds was made by `kedro run`."""
    made = dvc_project(tmp_path / "project")
    stages = ran(dvc(made, "repro"))
    assert len(stages) == len(set(stages)) > 10 and {"simweb", "ingest", "reference", "embed", *FILTERED} <= set(stages)
    assert "Data and pipelines are up to date." in dvc(made, "repro")


def test_a_second_repro_does_nothing(project: Path) -> None:
    assert "Data and pipelines are up to date." in dvc(project, "repro")


def test_a_clone_that_pulls_has_nothing_to_do(project: Path) -> None:
    assert not git(project, "status", "--porcelain").stdout
    assert not [name for name in git(project, "ls-files", "data").stdout.split() if not name.endswith(".gitkeep")]
    dvc(project, "push")
    assert (project.parent / "superbatch-store").is_dir()
    clone = project.parent / "clone"
    git(project.parent, "clone", "--quiet", str(project), str(clone))
    for before in (["metrics", "show"], ["status"], ["pull"], ["checkout"], ["push"], ["repro", "--dry"]):
        dvc(clone, *before)  # the table of the grid was never made: no command may miss it
    shown = json.loads(dvc(clone, "metrics", "show", "--json"))[""]["data"]
    assert set(shown) == {"data/08_reporting/metrics.json", "data/08_reporting/audit/metrics.json"}
    assert "Data and pipelines are up to date." in dvc(clone, "repro")


@pytest.mark.slow
def test_the_report_alone_is_made_again_on_request(project: Path) -> None:
    """It shows what is no dependency, such as an advice."""
    assert ran(dvc(project, "repro", "--single-item", "--force", "report")) == ["report"]
    as_committed(project)


@pytest.mark.slow
def test_an_experiment_runs_what_depends_on_its_parameter(project: Path) -> None:
    before = (project / METHODS).read_text()
    assert ran(dvc(project, "exp", "run", "--name=half", "-S", f"{KEEP_SHARE}=0.5")) == FILTERED
    after = (project / METHODS).read_text()
    assert "keep_share: 0.5" in after and [line for line in after.splitlines() if "#" in line] == [
        line for line in before.splitlines() if "#" in line
    ], "DVC writes the file anew, but the comments stay"


@pytest.mark.slow  # needs the test before it
def test_the_experiment_is_compared_by_parameters_metrics_and_plots(project: Path) -> None:
    changed = json.loads(dvc(project, "params", "diff", "--json"))
    assert changed == {METHODS: {"filtered.learner.pool.keep_share": {"old": 0.3, "new": 0.5, "diff": 0.2}}}
    metrics = json.loads(dvc(project, "metrics", "diff", "--all", "--json"))["data/08_reporting/metrics.json"]
    assert {"final.jest", "final.uniform", "final.filtered"} <= set(metrics)
    assert {key.split(".")[-1] for key, values in metrics.items() if values.get("diff")} <= {"jest", "filtered"}
    shown = dvc(project, "exp", "show", "--csv")
    assert "half" in shown and "final.filtered" in shown
    for name in ("plot_validation", "plot_loss"):
        drawn = json.loads(
            dvc(project, "plots", "diff", "HEAD", "half", "--show-vega", "--targets", f"data/08_reporting/{name}.csv")
        )
        points = drawn["data"]["values"]
        assert {point["rev"] for point in points} == {"HEAD", "half"}
        assert {point["run"] for point in points} == {"jest", "uniform", "filtered", "reference"}
        assert "<DVC_METRIC" not in json.dumps(drawn)
    dvc(project, "plots", "diff", "HEAD", "half")
    assert (project / "dvc_plots" / "index.html").is_file()
    assert git(project, "status", "--porcelain").stdout.split() == ["M", METHODS, "M", "dvc.lock"]


@pytest.mark.slow  # likewise
def test_the_way_back_and_the_way_to_keep_it(project: Path) -> None:
    for going in (["checkout", "--quiet", "conf", "dvc.lock"], None):
        git(project, *going) if going else dvc(project, "exp", "apply", "half")
        dvc(project, "checkout")
        assert "up to date" in dvc(project, "status")
    assert "keep_share: 0.5" in (project / METHODS).read_text()
    dvc(project, "exp", "branch", "half", "half-the-pool")
    assert "half-the-pool" in git(project, "branch").stdout


@pytest.mark.slow
def test_a_queue_runs_a_sweep_from_what_git_knows(project: Path) -> None:
    """Each in a folder of its own; what an earlier experiment made comes out of the run cache."""
    as_committed(project)
    dvc(project, "exp", "run", "--queue", "-S", f"{KEEP_SHARE}=0.5,0.6")
    dvc(project, "queue", "start")
    status, deadline = "Queued", time.monotonic() + 600
    while "Queued" in status or "Running" in status:
        assert time.monotonic() < deadline, status
        time.sleep(2)
        status = dvc(project, "queue", "status")
    assert status.count("Success") == 2, status
    assert "keep_share: 0.3" in (project / METHODS).read_text(), "the workspace is left alone"


@pytest.mark.slow
def test_a_killed_repro_resumes_the_training(project: Path) -> None:
    as_committed(project)
    training = {"steps": 60, "checkpoint_every": 5, "evaluate_every": 60}
    change(project / "conf/base/parameters.yml", {"learner": {"training": training}})
    wanted = ("dvc", "repro", "learner@uniform")
    states = project / "data" / "06_models" / ".state"
    killed_once(lambda: list(states.glob("*/step-*")), project, wanted)
    again = command(project, *wanted)
    assert "continues at step" in again.stdout + again.stderr
    assert "up to date" in dvc(project, "status", "learner@uniform")
