"""Training state on disk: model, optimiser, step and random state, renamed into place whole, never a pickle."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from superbatch.errors import UserError
from superbatch.files import atomic_directory, canonical, read_json, write_json

log = logging.getLogger(__name__)


@dataclass
class Totals:
    """What a run has used so far."""

    samples_scored: int = 0
    samples_trained: int = 0
    flops_as_executed: float = 0.0
    flops_paper: float = 0.0
    seconds: float = 0.0


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[p]}:{key}": value.detach().cpu()
        for p, state in optimizer.state.items()
        for key, value in state.items()
    }


def save_state(
    state_dir: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, totals: Totals, keep: int
) -> None:
    """Write the state after `step` steps; older states beyond the last `keep` are removed."""
    with atomic_directory(state_dir / f"step-{step:09d}") as directory:
        weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        save_file(weights, directory / "model.safetensors")
        save_file(_optimizer_tensors(model, optimizer), directory / "optimizer.safetensors")
        save_file({"rng": torch.get_rng_state()}, directory / "rng.safetensors")
        write_json(
            directory / "state.json",
            {"step": step, "totals": vars(totals), "torch": torch.__version__, "threads": torch.get_num_threads()},
        )
    for old in list_states(state_dir)[:-keep]:
        shutil.rmtree(old)


def list_states(state_dir: Path) -> list[Path]:
    """Return the finished states of a run, oldest first."""
    return sorted(path for path in state_dir.glob("step-*") if path.is_dir())


def load_state(directory: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, Totals]:
    """Load a state into model and optimiser; returns the step to continue with and the totals so far."""
    info = read_json(directory / "state.json")
    model.load_state_dict(load_file(directory / "model.safetensors"))
    names = dict(model.named_parameters())
    for key, value in load_file(directory / "optimizer.safetensors").items():
        name, slot = key.rsplit(":", 1)
        parameter = names[name]
        # AdamW's step counter stays where torch made it; the moments live beside their parameter.
        optimizer.state[parameter][slot] = (
            value.clone() if value.ndim == 0 and parameter.device.type == "cpu" else value.to(parameter.device)
        )
    torch.set_rng_state(load_file(directory / "rng.safetensors")["rng"])
    return info["step"], Totals(**info["totals"])


def resume(state_dir: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, Totals]:
    """Continue from the newest state that can be read; a damaged one is skipped, saying so. (0, no totals) where there is none."""
    for directory in reversed(list_states(state_dir)):
        try:
            return load_state(directory, model, optimizer)
        except Exception as error:  # any kind of damage: the state before it is as good, only older
            log.warning(
                "%s cannot be read (%s); falling back to the state before it", directory, str(error).splitlines()[0]
            )
            shutil.rmtree(directory)
    return 0, Totals()


def take_state_from(path: Path, state_dir: Path, identity: dict[str, Any]) -> None:
    """Continue a run whose state lies elsewhere (another disk, another project): copy it, unless this run has its own.

    Another run's state is refused, naming what differs.

    Raises:
        UserError: no state there, or one of another configuration.
    """
    file = path / "identity.json"
    if not file.is_file():
        raise UserError(
            f"training.resume_from: {path}", "holds no training state", "name a folder under data/06_models/.state"
        )
    differences = _differences(read_json(file), canonical(identity))
    if differences:
        raise UserError(
            f"training.resume_from: {path}",
            f"is another run's state: {'; '.join(differences[:3])}",
            "match the settings, or start afresh",
        )
    if not list_states(state_dir) and path.resolve() != state_dir.resolve():
        shutil.copytree(path, state_dir, dirs_exist_ok=True)


def _differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted(theirs.keys() | ours.keys())
        return [
            line
            for key in keys
            for line in _differences(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if theirs == ours else [f"{path} is {theirs!r} there and {ours!r} here"]
