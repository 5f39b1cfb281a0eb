"""Settings of an image tower with two views, full and low (Flexi-JEST)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from superbatch.bounds import Because, Count, Settings, Share, require


@dataclass(frozen=True)
class LowSettings(Settings, section="low"):
    """The low view of an image: one of three ways to fewer tokens."""

    patch_size: Count | None = None  # the same image in larger patches (FlexiViT)
    image_size: Count | None = None  # a smaller image in the same patches: less to decode too
    patch_drop: Share | None = None  # share of the patches left out, at random (for comparison)

    def check(self) -> None:
        """Refuse more ways than one."""
        ways = " and ".join(self.ways)
        require(len(self.ways) <= 1, "low", f"names {len(self.ways)} views, {ways}", "keep one of them")

    def require_way(self, where: str) -> None:
        """Refuse a view that is none; `where` is the block's key.

        Raises:
            UserError: just that.
        """
        require(bool(self.ways), where, "names no view", "set one of patch_size, image_size and patch_drop")

    @property
    def ways(self) -> list[str]:
        """The keys that are set."""
        return [name for name, value in vars(self).items() if value is not None]

    @property
    def name(self) -> str:
        """The view in a word, such as patch16."""
        return f"{self.ways[0].removesuffix('_size').removeprefix('patch_')}{getattr(self, self.ways[0]):g}"


@dataclass(frozen=True)
class FlexiSettings(Settings, section="flexi"):
    """When the low view is used: for scoring, and for some of the samples trained on."""

    low: LowSettings = field(default_factory=LowSettings)
    # of the samples that are trained on, each drawn with this chance; the rest trains at full view
    low_share: Annotated[float, Interval(ge=0, lt=1), Because("{value} is not a share below 1")] = 0.5
    tokens: Count | None = None  # of a caption in scoring, start and end included; None: all
    reference: Literal["full", "low"] = "full"  # in which view its cached embeddings saw the pool; low: see embed.low

    def check(self) -> None:
        """Refuse a low view that is none, and a cache of one that differs from step to step."""
        self.low.require_way("flexi.low")
        require(
            self.reference == "full" or self.low.patch_drop is None,
            "flexi.reference",
            "low, and what patch_drop leaves out differs from step to step: no cache could hold it",
            "set it to full",
        )
