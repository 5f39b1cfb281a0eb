"""What a run costs in floating-point operations, counted and in closed form.

F is the forward pass of one sample, image and text (DESIGN: uniform 3F a trained sample). Two accountings:
the paper's re-uses the forward of the chosen samples, F(2 + B/b) (papers.md 1.7); as executed, the scoring pass keeps no graph, so the
chosen are run forward again: F(3 + B/b). Per trained sample, in both. A proxy of F_p that scores and is trained along: 3F + F_p(3 + B/b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from superbatch.models import ClipModel, evaluating


@dataclass(frozen=True)
class ForwardFlops:
    """Operations of one sample's forward pass; a multiplication and an addition count as two."""

    image: float
    text: float

    @property
    def total(self) -> float:
        """F: image and text."""
        return self.image + self.text


def count_forward(clip: ClipModel, samples: int = 2) -> ForwardFlops:
    """Count a forward pass with torch's FlopCounterMode.

    The attention fast path is one fused kernel that the counter does not see (it hides a third of a scoring pass): it is off here.
    """
    from torch.utils.flop_counter import FlopCounterMode

    device = next(clip.model.parameters()).device
    images = torch.zeros(samples, 3, clip.image_size, clip.image_size, device=device)
    ids = torch.zeros(samples, clip.context_length, dtype=torch.int64, device=device)
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(clip.model), torch.no_grad(), FlopCounterMode(display=False) as image:
            clip.model.encode_image(images)
        with evaluating(clip.model), torch.no_grad(), FlopCounterMode(display=False) as text:
            clip.model.encode_text(ids)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    return ForwardFlops(image.get_total_flops() / samples, text.get_total_flops() / samples)


def transformer_flops(tokens: int, width: int, layers: int, mlp_ratio: float = 4.0) -> float:
    """Closed form of a transformer's matrix products on one sequence: projections 8w², MLP 4rw² a token, attention 4tw."""
    return float(layers * tokens * ((8 + 4 * mlp_ratio) * width**2 + 4 * tokens * width))


def closed_form(config: dict[str, Any]) -> ForwardFlops:
    """Return F of an open_clip ViT with a text transformer from its configuration alone."""
    model, vision, text = config["model_cfg"], config["model_cfg"]["vision_cfg"], config["model_cfg"]["text_cfg"]
    patch, width = vision["patch_size"], vision["width"]
    patches = (vision["image_size"] // patch) ** 2
    image = transformer_flops(patches + 1, width, vision["layers"], vision.get("mlp_ratio", 4.0))
    image += 2 * patches * width * 3 * patch**2 + 2 * width * model["embed_dim"]
    words = transformer_flops(text["context_length"], text["width"], text["layers"], text.get("mlp_ratio", 4.0))
    return ForwardFlops(image, words + 2 * text["width"] * model["embed_dim"])


@dataclass(frozen=True)
class Forwards:
    """Forward passes of a run.

    Attributes:
        learner: F.
        proxy: F_p of the proxy that scores in the learner's place and is trained along; None without one.
    """

    learner: ForwardFlops
    proxy: ForwardFlops | None = None

    def scoring(self, samples: int) -> float:
        """Operations of scoring some samples."""
        return (self.proxy or self.learner).total * samples

    def training_proxy(self, samples: int) -> float:
        """Operations of training the proxy on some samples; 0 without one."""
        return 3 * self.proxy.total * samples if self.proxy else 0.0

    def saved(self, scored: int, trained: int) -> float:
        """Operations that the proxy saved: the learner's scoring in place of its own scoring and training. Below 0 it cost more."""
        return self.learner.total * scored - self.scoring(scored) - self.training_proxy(trained)


def step_flops(
    forward: float, batch_size: float, super_batch_size: float, *, scored: bool, reuse: bool, proxy: float = 0.0
) -> float:
    """Operations of one training step.

    Args:
        forward: F.
        batch_size: b samples trained.
        super_batch_size: B samples scored, where `scored`.
        scored: a scoring pass takes place (JEST); else uniform, 3F a sample.
        reuse: the paper's accounting, in which the chosen samples' forward is not paid twice. There is nothing to re-use where other
            weights scored than are trained: those of a proxy, or of some steps ago.
        proxy: F_p where a proxy scores and is trained along (papers.md 3.2); 0 where the learner scores itself.
    """
    train = 3 * (forward + proxy) * batch_size
    if not scored:
        return train
    return train + (proxy or forward) * super_batch_size - (forward * batch_size if reuse else 0)
