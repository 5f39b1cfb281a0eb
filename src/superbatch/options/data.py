"""Settings of the embedded default data, and of what is computed once a set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, MinLen

from superbatch.bounds import Because, Count, Natural, Settings, require
from superbatch.options.flexi import LowSettings

# Of an image: Pillow calls more a possible decompression bomb, and refuses more than twice as many.
MAX_PIXELS = 89_478_485


@dataclass(frozen=True)
class SimwebSettings(Settings, section="simweb"):
    """The simulated web crawl: sizes, damage and tail of the embedded default data."""

    pool_pairs: Annotated[int, Ge(2)] = 40_000
    curated_pairs: Count = 768
    validation_images_per_class: Count = 5
    test_images_per_class: Count = 10
    validation_retrieval_images: Count = 500
    test_retrieval_images: Count = 1_000
    image_size: Annotated[int, Ge(16), Because("{value} pixels are too few to draw on")] = 32
    zipf_exponent: Annotated[
        float, Ge(0), Because("{value} is negative", "0 (even) or more; the web has about 1.2")
    ] = 1.2
    shard_size: Count = 1_000
    seed: int = 0
    jobs: Count = 2
    shares: dict[str, Annotated[float, Ge(0)]] = field(
        default_factory=lambda: {
            "clean": 0.30,
            "mismatched": 0.35,
            "boilerplate": 0.15,
            "garbled": 0.08,
            "off_topic": 0.07,
            "near_duplicate": 0.04,
            "corrupt": 0.01,
        }
    )

    def check(self) -> None:
        """Refuse shares that do not sum to 1."""
        total = sum(self.shares.values())
        require(abs(total - 1) < 1e-9, "simweb.shares", f"sum to {total:g}", "make them sum to 1")


IconSets = Annotated[tuple[str, ...], MinLen(1), Because("{value} names no set", "a list of at least one set")]


@dataclass(frozen=True)
class IconsSettings(Settings, section="icons"):
    """The real pool: which package, who is held out, and how much of it is rendered how large."""

    package: str = "@iconify/json@2.2.535"  # as npm names it; or a .tgz, or a folder
    digest: str = (  # npm's `integrity` of that version; for files and folders their own digest is used
        "sha512-nAV60ACUSHwnsb6fsp+letHlNkrwO4vzBtcC6B4EDHErQQfezk7E3nJdnwJjve6OCfMNO0uVT5Vrgna9/NCmXw=="
    )
    image_size: Annotated[int, Ge(16), Because("{value} pixels are too few to draw on")] = 32
    curated_sets: IconSets = ("mdi", "boxicons")
    validation_sets: IconSets = ("ri", "mingcute", "heroicons")
    test_sets: IconSets = ("tabler", "lucide", "bi", "iconoir", "carbon")
    curated_per_concept: Count = 4
    class_teams: Count = 20  # a concept becomes a class if this many teams draw it
    validation_images_per_class: Count = 4
    test_images_per_class: Count = 12
    validation_retrieval_concepts: Count = 500
    test_retrieval_concepts: Count = 1_000
    rare_teams: Natural = (
        4  # a concept is rare if at most this many teams of the pool draw it; half of retrieval's are rare
    )
    shard_size: Count = 2_000
    seed: int = 0
    jobs: Natural = 0  # processes; 0: one a core


@dataclass(frozen=True)
class EmbedSettings(Settings, section="embed"):
    """What is computed once a set: the reference's embeddings, token ids, packed pixels."""

    batch: Count = 512
    device: str = "auto"
    pack_limit_mb: Natural = 2_000  # pixels are packed as uint8 if the whole set stays below this size
    jobs: Count = 2
    low: LowSettings | None = None  # a low view that it embeds in besides, for `learner.flexi.reference: low`

    def check(self) -> None:
        """Refuse a low view that is none, and one that differs from step to step."""
        if self.low is not None:
            self.low.require_way("embed.low")
        require(
            self.low is None or self.low.patch_drop is None,
            "embed.low.patch_drop",
            "leaves out other patches at each step, and is embedded once",
            "use patch_size or image_size",
        )
