"""Training state on disk: models, optimisers, step and waiting picks, renamed into place whole, never a pickle.

What a model draws at a step follows from seed, step and rank, so no random state is kept.

A state names the SHA-256 of each of its files and of the record parts it vouches for, so that damage is found before anything is
loaded: safetensors itself takes a flipped bit for a weight.
"""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from superbatch.artifacts.atomic import atomic_directory, told_if_full, write_json
from superbatch.artifacts.fingerprints import file_digests, file_sha256, fingerprint
from superbatch.files import read_json
from superbatch.training.distributed import Ranks
from superbatch.training.flops import Samples
from superbatch.training.machine import machine
from superbatch.training.optimizer import Kept
from superbatch.training.task import LEARNER

log = logging.getLogger(__name__)
STATE_FILE = "state.json"
PENDING = "pending.safetensors"
SHARDS = "shards"  # in a state of a sharded run: the folder of what its ranks wrote
RECORDS = "records"  # the folder of the run's records, beside its states


@dataclass
class Totals:
    """What a run has used so far."""

    samples_scored: int = 0
    samples_trained: int = 0
    samples_measured: int = 0
    samples_chosen: int = 0
    flops_as_executed: float = 0.0
    flops_paper: float = 0.0
    seconds: float = 0.0

    @property
    def samples(self) -> Samples:
        """The samples alone, as an account takes them."""
        return Samples(self.samples_trained, self.samples_scored, self.samples_measured, self.samples_chosen)


@dataclass
class Resumed:
    """Where a training goes on.

    Attributes:
        step: the first step to take; 0 where there was no state.
        totals: used so far.
        parts: SHA-256 of the record parts so far, by file name.
        pending: picks that wait for their step (`pending.pending_tensors`).
        machine: where the state was made; None where that is not known.
    """

    step: int = 0
    totals: Totals = field(default_factory=Totals)
    parts: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Tensor] = field(default_factory=dict)
    machine: str | None = None


def _prefix(model: str) -> str:
    """How the names of a model's files begin."""
    return "" if model == LEARNER else f"{model}_"


def _save_models(directory: Path, kept: Kept) -> None:
    for name, (module, optimizer) in kept.items():
        weights = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        save_file(weights, directory / f"{_prefix(name)}model.safetensors")
        if optimizer is not None:
            tensors = _optimizer_tensors(module, optimizer)
            save_file(tensors, directory / f"{_prefix(name)}optimizer.safetensors")


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[p]}:{key}": value.detach().cpu()
        for p, state in optimizer.state.items()
        for key, value in state.items()
    }


def save_state(
    state_dir: Path,
    step: int,
    kept: Kept,
    totals: Totals,
    keep: int,
    parts: dict[str, str],
    pending: dict[str, Tensor],
    together: Ranks | None = None,
) -> None:
    """Write the state after `step` steps, then remove older ones beyond the last `keep`.

    Args:
        state_dir: of the run.
        step: finished steps.
        kept, totals: what is saved.
        keep: how many states stay.
        parts: SHA-256 of every record part written so far, by file name: those this state vouches for.
        pending: picks that wait for their step; saved where there are any.
        together: the ranks of a sharded run, all of which call this: each writes its part of the models, and rank 0 all else.

    Raises:
        DiskFull: the states before it are as they were.
    """
    if together is not None and not together.is_first:
        _save_shards(None, kept, together)
        return
    with atomic_directory(state_of(state_dir, step)) as directory:
        if together is None:
            _save_models(directory, kept)
        else:
            _save_shards(directory, kept, together)
        if pending:
            save_file(pending, directory / PENDING)
        content = {
            "step": step,
            "totals": vars(totals),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": machine(),
            "files": file_digests(directory),
            "parts": parts,
        }
        write_json(directory / STATE_FILE, content | {"check": fingerprint(content)})
    for old in list_states(state_dir)[:-keep]:
        shutil.rmtree(old)


def _save_shards(directory: Path | None, kept: Kept, together: Ranks) -> None:
    """Write this rank's part of the models into rank 0's directory; rank 0 continues once all parts are there."""
    from superbatch.training.sharding import save_shards

    directory = together.tell(directory)
    assert directory is not None, "rank 0 tells"
    with told_if_full(directory):
        save_shards(directory / SHARDS, kept)


def state_of(state_dir: Path, step: int) -> Path:
    """Return the directory of the state after `step` steps."""
    return state_dir / f"step-{step:09d}"


def list_states(state_dir: Path) -> list[Path]:
    """Return the finished states of a run, oldest first."""
    return sorted(path for path in state_dir.glob("step-*") if path.is_dir())


def last_step(state_dir: Path) -> int:
    """Return how many steps the newest state has behind it; 0 without any."""
    states = list_states(state_dir)
    return int(states[-1].name.removeprefix("step-")) if states else 0


def load_state(directory: Path, kept: Kept) -> Resumed:
    """Load a state into models and optimisers; returns where to go on. Of a sharded run it is collective."""
    info = read_json(directory / STATE_FILE)
    if (directory / SHARDS).is_dir():
        from superbatch.training.sharding import load_shards

        load_shards(directory / SHARDS, kept)
    else:
        _load_models(directory, kept)
    pending = load_file(directory / PENDING) if (directory / PENDING).is_file() else {}
    return Resumed(info["step"], Totals(**info["totals"]), info.get("parts", {}), pending, info.get("machine"))


def _load_models(directory: Path, kept: Kept) -> None:
    for name, (module, optimizer) in kept.items():
        module.load_state_dict(load_file(directory / f"{_prefix(name)}model.safetensors"))
        if optimizer is not None:
            _load_optimizer(directory / f"{_prefix(name)}optimizer.safetensors", module, optimizer)


def _load_optimizer(file: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    names = dict(model.named_parameters())
    for key, value in load_file(file).items():
        name, slot = key.rsplit(":", 1)
        parameter = names[name]
        # AdamW's step counter stays on the device where torch creates it; the moments are on the parameter's device.
        optimizer.state[parameter][slot] = (
            value.clone() if value.ndim == 0 and parameter.device.type == "cpu" else value.to(parameter.device)
        )


def find_state(state_dir: Path) -> Path | None:
    """Find the newest state that is whole; a damaged one is removed, saying so, for the one before it. None where none is left.

    What a killed process left half-written is removed too.
    """
    for left in [*state_dir.glob(".step-*"), *state_dir.glob(".best.*")]:
        shutil.rmtree(left)
    states = list_states(state_dir)
    for directory in reversed(states):
        damage = find_damage(directory, state_dir / RECORDS)
        if damage is None:
            return directory
        then = "there is no earlier one" if directory == states[0] else "falling back to the state before it"
        log.warning("%s is damaged (%s); %s", directory, damage, then)
        shutil.rmtree(directory)
    return None


def find_damage(directory: Path, records: Path) -> str | None:
    """Say what is wrong with a state or with the record parts it vouches for; None if nothing is.

    A state of an earlier version, which names no digests, is judged by whether it can be read.
    """
    try:
        info = json.loads((directory / STATE_FILE).read_text())
        if "check" not in info:
            for name in ("model", "optimizer"):
                load_file(directory / f"{name}.safetensors")
            return None
    except (OSError, ValueError, SafetensorError) as error:
        return str(error).splitlines()[0]
    if fingerprint({name: value for name, value in info.items() if name != "check"}) != info["check"]:
        return f"{STATE_FILE} was changed"
    for folder, digests in ((directory, info["files"]), (records, info["parts"])):
        for name, digest in digests.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if file_sha256(folder / name) != digest:
                return f"{name} was changed"
    return None
