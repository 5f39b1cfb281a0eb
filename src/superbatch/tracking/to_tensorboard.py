"""TensorBoard: event files, a folder a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from superbatch.tracking.tracker import RunInfo, Sent, Tracker


def make(folder: Path) -> Tracker:
    """Return the tracker, whose runs lie in `folder`."""
    return TensorBoard(folder)


class TensorBoard:
    """Writes event files; what they have beyond what is known to be kept, TensorBoard is told to drop (`purge_step`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def start(self, run: RunInfo, sent: Sent) -> Sent:
        """Open a new event file beside those of earlier starts."""
        self._writer = SummaryWriter(str(self.folder / run.folder), purge_step=sent.steps + 1)
        if sent.steps < 0 and run.settings:
            self._writer.add_text("settings", table(run.settings), 0)
        return sent

    def scalars(self, steps: int, values: dict[str, float]) -> None:
        """Add one event a number."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, steps)

    def figure(self, name: str, file: Path) -> None:
        """Add the picture itself."""
        pixels_HWC = np.asarray(Image.open(file).convert("RGB"))
        self._writer.add_image(name, pixels_HWC, 0, dataformats="HWC")

    def flush(self) -> None:
        """Write to disk what waits in memory."""
        self._writer.flush()

    def finish(self, summary: dict[str, Any] | None) -> None:
        """Close the event file, the summary as a text in it."""
        if summary:
            self._writer.add_text("summary", table(summary), 0)
        self._writer.close()


def table(values: dict[str, Any]) -> str:
    """Write values by name as a table of Markdown, which TensorBoard shows."""
    rows = [f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in values.items()]
    return "\n".join(["| name | value |", "|---|---|", *rows])
