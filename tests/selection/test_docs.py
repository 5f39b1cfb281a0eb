"""The loop that docs/selection.md shows runs as it stands, on tiny open_clip models."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import open_clip
import pytest
import torch

from superbatch.selection import JointSelector, PairEmbeddings, select_by_scores, select_jointly

PAGE = Path(__file__).parents[2] / "docs" / "selection.md"


def tiny_model(width: int) -> open_clip.CLIP:
    vision = {"image_size": 16, "patch_size": 8, "width": width, "layers": 1, "head_width": 16}
    text = {"context_length": 6, "vocab_size": 50, "width": width, "heads": 2, "layers": 1}
    return open_clip.CLIP(16, vision, text, init_logit_scale=2.3, init_logit_bias=-10.0)


def test_the_open_clip_loop_runs_and_learns(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```(?:python|py)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    torch.manual_seed(0)
    model, reference = tiny_model(32), tiny_model(48).eval()
    before = [weight.detach().clone() for weight in model.parameters()]
    super_batches = [(torch.randn(40, 3, 16, 16), torch.randint(1, 50, (40, 6))) for _ in range(3)]
    names = {
        "model": model,
        "reference": reference,
        "super_batches": super_batches,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3),
        "open_clip": open_clip,
        "torch": torch,
        "PairEmbeddings": PairEmbeddings,
        "select_jointly": select_jointly,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(blocks[0], names)
        exec(blocks[1], names | {"JointSelector": JointSelector, "b": 8, "rows": torch.arange(100, 140)})
    assert len(names["chosen"].unique()) == 8 and names["loss"].isfinite()
    logits, labels = torch.randn(40, 5), torch.randint(0, 5, (40,))
    scored = {"torch": torch, "select_by_scores": select_by_scores, "logits": logits, "labels": labels}
    scored |= {"b": 8, "step": 2, "rows": torch.arange(100, 140)}
    exec(blocks[2], scored)
    assert len(scored["hard"].unique()) == 8
    assert len(capsys.readouterr().out.split()) == 3
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
