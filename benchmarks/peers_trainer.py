"""The draw of DRRho-CLIP's trainer and of the paper's printed pseudo-code, as they behave: their sizes, their crashes.

`recomputed_softmax` in peers_selection.py has the trainer's computation with a draw put right, so that picks can be
compared. Here the draws are left as they are: linear weights for the first chunk (trainer) or scores as probabilities'
logarithms (paper), exp without the maximum subtracted, chunk sizes rounded down. `load_original` runs the trainer's own
functions from a clone of github.com/Optimization-AI/DRRho-CLIP (src/training/train.py); nothing of it is copied here.
"""

from __future__ import annotations

import ast
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn  # the trainer takes it for granted
from peers_selection import TAKEN, _logits, _pair_losses, trainer_normaliser
from torch import Tensor

from superbatch.selection import PairEmbeddings

Literal = Callable[[PairEmbeddings, PairEmbeddings, float, int], Tensor]
_WANTED = {"softmax_neg", "softmax_nll", "jointly_sample_batch_softmax"}


def trainer(learner: PairEmbeddings, reference: PairEmbeddings, filter_ratio: float, num_chunks: int) -> Tensor:
    """The trainer's draw: b from the ratio, rounded down a chunk at a time; a gain of 1."""
    own_B = _logits(reference).diagonal() - _logits(learner).diagonal()
    size = int(len(own_B) * (100 - filter_ratio * 100) / 100 / num_chunks)
    taken_B = torch.zeros_like(own_B)
    chosen = [(own_B - own_B.min()).multinomial(size)]
    for _ in range(num_chunks - 1):
        taken_B[chosen[-1]] = 1
        scores_B = own_B + trainer_normaliser(learner, taken_B) - trainer_normaliser(reference, taken_B)
        chosen.append((scores_B - TAKEN * taken_B).exp().multinomial(size))
    return torch.cat(chosen)


def paper(
    learner: PairEmbeddings, reference: PairEmbeddings, filter_ratio: float, num_chunks: int, gain: float = 100.0
) -> Tensor:
    """Algorithm 1 with exp for the first chunk too and distinct draws, else to the letter."""
    scores_BB = gain * (_pair_losses(learner) - _pair_losses(reference))
    size = int(len(scores_BB) * (1 - filter_ratio) / num_chunks)
    taken_B = torch.zeros(len(scores_BB))
    chosen = [scores_BB.diagonal().exp().multinomial(size)]
    for _ in range(num_chunks - 1):
        taken_B[chosen[-1]] = 1
        logits_B = scores_BB.diagonal() + (scores_BB * taken_B[:, None]).sum(0) + (scores_BB * taken_B).sum(1)
        chosen.append((logits_B - TAKEN * taken_B).exp().multinomial(size))
    return torch.cat(chosen)


def load_original(file: Path) -> Literal:
    """The trainer's own function out of a clone, as a process group of one (it fails without)."""
    tree = ast.parse(file.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in _WANTED]
    if len(tree.body) != len(_WANTED):
        raise SystemExit(f"{file} does not have {', '.join(sorted(_WANTED))}")
    names: dict[str, Any] = {"torch": torch}
    warnings.filterwarnings("ignore", "torch.distributed.nn.functional", FutureWarning)
    exec(compile(tree, str(file), "exec"), names)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=1, rank=0)

    def original(learner: PairEmbeddings, reference: PairEmbeddings, filter_ratio: float, num_chunks: int) -> Tensor:
        sides = [[pairs.image_ND, pairs.text_ND] for pairs in (reference, learner)]
        scales = [{"t": pairs.scale} for pairs in (reference, learner)]
        return names["jointly_sample_batch_softmax"](*sides, *scales, n_chunks=num_chunks, filter_ratio=filter_ratio)

    return original


def outcome(draw: Callable[[], Tensor], wanted: int) -> str:
    """What came of a draw: "ok", how many it gave instead, or the error."""
    try:
        chosen = draw()
    except Exception as error:
        return "crash: inf or nan" if "`inf`, `nan`" in str(error) else f"{type(error).__name__}: {error}"[:60]
    distinct = len(chosen.unique())
    if distinct == len(chosen) == wanted:
        return "ok"
    return f"{len(chosen)} instead of {wanted}" if distinct == len(chosen) else f"{distinct} distinct of {len(chosen)}"
