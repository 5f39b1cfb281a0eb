"""docs/without_kedro.md runs as it stands (but for the number of steps), in a process that cannot import Kedro and its kin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd

from superbatch.data.writing import Sample, encode_image, write_shard
from tests.test_floors import FRAMEWORKS

PAGE = Path(__file__).parents[2] / "docs" / "without_kedro.md"
STEPS = 3


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def write_set(folder: Path, rows: int) -> None:
    folder.mkdir(parents=True)
    parts = ({"png": encode_image(picture(i), "png"), "txt": f"number {i}".encode()} for i in range(rows))
    write_shard(folder / "0.tar", [Sample(f"{i:04}", found) for i, found in enumerate(parts)])


def ends_with(error: str, folder: Path) -> tuple[int, str]:
    """Run the page's second block around a function that raises; returns exit code and stderr."""
    (snippet,) = re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = f"import superbatch.errors\ndef main(): raise superbatch.errors.{error}\n{snippet}"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_a_script_ends_in_one_line_as_the_command_does(tmp_path: Path) -> None:
    assert ends_with('UserError("shards", "are gone", "put them back")', tmp_path) == (
        1,
        "Error: shards: are gone; put them back\n",
    )
    assert ends_with('Interrupted("stopped at step 3")', tmp_path) == (130, "stopped at step 3\n")


def test_ten_lines_train_a_learner(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    statements = [line for line in snippet.splitlines() if line and "import" not in line]
    assert len(statements) <= 10 + 3  # two for the log, and the last one prints
    write_set(tmp_path / "shards" / "pool", 400)
    write_set(tmp_path / "shards" / "curated", 80)
    blocked = f"import sys\nfor name in {sorted(FRAMEWORKS)!r}: sys.modules[name] = None\n"
    script = blocked + snippet.replace("steps=800", f"steps={STEPS}")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for told in (
        f"jest: {STEPS} steps over 400 rows",
        "picks b = 64 of B = 320 (joint, learnability, N = 16)",
        "jest: run hash ",
    ):
        assert told in done.stderr
    model_dir = tmp_path / done.stdout.split()[0]
    picks = pd.read_parquet(model_dir.parent / "training" / "picks.parquet")
    assert picks["chosen"].sum() == 64 * STEPS and picks["row"].between(0, 399).all()
    assert open_clip.create_model(f"local-dir:{model_dir}").visual.image_size == (32, 32)
