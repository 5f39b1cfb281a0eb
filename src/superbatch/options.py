"""Every setting as a plain, frozen dataclass: what the core rooms take.

`config.py` reads them from Kedro's parameters; a library user makes them directly. `__pydantic_config__` refuses unknown keys there;
values are checked here, so that both ways in give the same errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

from superbatch.errors import UserError

STRICT: dict[str, Any] = {"extra": "forbid"}
VERDICTS = ("worth_it", "learned", "unlearnable", "never_worth", "undecided", "unseen")


def _check(condition: bool, where: str, what: str, remedy: str = "") -> None:
    if not condition:
        raise UserError(where, what, remedy)


@dataclass(frozen=True)
class SimwebSettings:
    """The simulated web crawl: sizes, damage and tail of the embedded default data."""

    __pydantic_config__: ClassVar[Any] = STRICT
    pool_pairs: int = 40_000
    curated_pairs: int = 768
    validation_images_per_class: int = 5
    test_images_per_class: int = 10
    validation_retrieval_images: int = 500
    test_retrieval_images: int = 1_000
    image_size: int = 32
    zipf_exponent: float = 1.2
    shard_size: int = 1_000
    seed: int = 0
    jobs: int = 2
    shares: dict[str, float] = field(
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

    def __post_init__(self) -> None:
        _check(
            abs(sum(self.shares.values()) - 1) < 1e-9,
            "simweb.shares",
            f"sum to {sum(self.shares.values()):g}",
            "make them sum to 1",
        )
        _check(
            self.image_size >= 16, "simweb.image_size", f"{self.image_size} is too small to draw on", "use 16 or more"
        )


@dataclass(frozen=True)
class SelectionSettings:
    """How a sub-batch is chosen out of the super-batch (JEST, Algorithms 1-3)."""

    __pydantic_config__: ClassVar[Any] = STRICT
    method: Literal["uniform", "independent", "joint"] = "uniform"
    filter_ratio: float = 0.8  # f = 1 - b/B; ignored by `uniform`
    criterion: Literal["learnability", "easy_reference", "hard_learner"] = "learnability"
    num_chunks: int = 16
    gain: float = 100.0  # the paper's; conf/base sets 10
    stale_steps: int = 0  # k: a step's batch is chosen by the weights of k steps before
    proxy: ModelSettings | None = (
        None  # a smaller model that scores in the learner's place and is trained along (ActiveCLIP)
    )

    def __post_init__(self) -> None:
        _check(
            self.method == "uniform" or 0 < self.filter_ratio < 1,
            "selection.filter_ratio",
            f"f = {self.filter_ratio:g} leaves nothing to choose from"
            if self.filter_ratio <= 0
            else f"f = {self.filter_ratio:g} leaves nothing to train on",
            "use a value between 0 and 1, or method: uniform",
        )
        _check(self.num_chunks >= 1, "selection.num_chunks", f"{self.num_chunks} chunks", "use 1 or more")
        _check(self.gain > 0, "selection.gain", f"{self.gain:g} is not positive", "use a positive gain")
        _check(
            self.stale_steps >= 0,
            "selection.stale_steps",
            f"k = {self.stale_steps} steps ago is yet to come",
            "use 0 or more",
        )
        for name in ("stale_steps", "proxy"):
            self._check_scoring(name)

    @property
    def scores(self) -> bool:
        """Whether a model scores super-batches: easy reference has the cache, uniform needs nothing."""
        return self.method != "uniform" and self.criterion != "easy_reference"

    @property
    def uses_reference(self) -> bool:
        """Whether the reference's losses count in a score."""
        return self.method != "uniform" and self.criterion != "hard_learner"

    def _check_scoring(self, name: str) -> None:
        why = f"method: {self.method}" if self.method == "uniform" else f"criterion: {self.criterion}"
        _check(
            self.scores or not getattr(self, name),
            f"selection.{name}",
            f"with {why} no model scores",
            "leave it out, or set it in the block of a method that scores, such as jest",
        )


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW with linear warm-up and a cosine to zero (JEST App. A.1)."""

    __pydantic_config__: ClassVar[Any] = STRICT
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95  # 0.999 gives loss spikes at f = 0.8 (JEST fig. 6)
    epsilon: float = 1e-8
    warmup: float = 0.05  # share of the steps
    gradient_clip: float = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"

    def __post_init__(self) -> None:
        _check(self.learning_rate > 0, "optimizer.learning_rate", f"{self.learning_rate:g} is not positive")
        _check(0 <= self.warmup < 1, "optimizer.warmup", f"{self.warmup:g} is not a share of the steps", "use 0 to 1")
        _check(0 <= self.beta2 < 1 and 0 <= self.beta1 < 1, "optimizer.beta1/beta2", "must lie in [0, 1)")


@dataclass(frozen=True)
class ModelSettings:
    """Which open_clip model: a configuration file, and optionally weights to start from."""

    __pydantic_config__: ClassVar[Any] = STRICT
    config: str = "conf/models/tiny.json"
    pretrained: str | None = None  # a checkpoint directory (open_clip format) or weight file to start from
    compact_vocabulary: bool = True
    init_logit_scale: float = 10.0  # SigLIP's start; the model stores its logarithm
    init_logit_bias: float | None = None  # None: -log(b - 1), the prior of a batch of b (papers.md 5.1)


@dataclass(frozen=True)
class TrainingSettings:
    """One training from start to end; reference and learner share it."""

    __pydantic_config__: ClassVar[Any] = STRICT
    batch_size: int = 128
    steps: int = 1_000
    loss: Literal["sigmoid", "softmax"] = "sigmoid"
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: int = 0  # 0: what torch chooses
    workers: int = 0
    processes: int = 1  # ranks on each machine
    machines: int = 1
    rendezvous: str | None = None  # `host:port`, where the machines meet
    accumulate: int = 1  # micro-batches a step; all negatives count whatever their number
    checkpoint_activations: bool = False  # compute them again in the backward pass: less memory, more time
    compile: bool = False  # torch.compile of both towers
    deterministic: bool = True  # on a GPU: equal bits each time, or an error that names what cannot give them
    max_scale: float | None = (
        None  # bound of the temperature as a factor; None: the loss's own, 100 for softmax, none for sigmoid
    )
    shuffle_window: int = 0
    checkpoint_every: int = 200
    keep_checkpoints: int = 2
    keep_best: str | None = (
        None  # a validation metric, `<set>/<metric>`: the checkpoint with its highest value is kept too
    )
    evaluate_every: int = 200
    score_batch: int = 0  # samples a forward pass of the scoring step; 0: 128 on a CPU, 1,024 elsewhere
    on_bad_step: Literal["stop", "skip"] = "stop"  # a loss or gradient that is not finite, or a spike
    spike_factor: float = 0.0  # a loss above this times the running median is a spike; 0 looks for none
    spike_window: int = 50  # good steps that the median is taken over
    fresh: bool = False
    resume_from: str | None = None
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)

    def __post_init__(self) -> None:
        _check(
            self.batch_size >= 2, "training.batch_size", f"{self.batch_size} pairs have no negatives", "use 2 or more"
        )
        _check(self.steps >= 1, "training.steps", f"{self.steps} steps train nothing", "use 1 or more")
        for name in (
            "checkpoint_every",
            "keep_checkpoints",
            "evaluate_every",
            "spike_window",
            "processes",
            "machines",
            "accumulate",
        ):
            _check(
                getattr(self, name) >= 1, f"training.{name}", f"{getattr(self, name)} is not positive", "use 1 or more"
            )
        _check(self.score_batch >= 0, "training.score_batch", f"{self.score_batch} is negative", "use 0 or more")
        _check(
            self.max_scale is None or self.max_scale >= 1,
            "training.max_scale",
            f"{self.max_scale} lies below the smallest scale, 1",
            "use 1 or more, or leave it out",
        )
        cuts = self.processes * self.machines * self.accumulate
        _check(
            self.batch_size >= cuts,
            "training.batch_size",
            f"{self.batch_size} samples cannot be dealt to {cuts} micro-batches",
            "use fewer processes, machines or accumulate",
        )
        _check(
            self.machines == 1 or self.rendezvous is not None,
            "training.rendezvous",
            f"{self.machines} machines do not know where to meet",
            "name a host and port of one of them, such as node0:29400",
        )
        _check(
            self.spike_factor == 0 or self.spike_factor > 1,
            "training.spike_factor",
            f"{self.spike_factor:g} would call ordinary losses spikes",
            "use more than 1, or 0 for off",
        )


@dataclass(frozen=True)
class PoolSettings:
    """Which rows a learner draws from."""

    __pydantic_config__: ClassVar[Any] = STRICT
    keep_share: float = 1.0  # best share of the pool by the cached reference score; 1 keeps all (`filtered` tunes it)
    add_curated: bool = False

    def __post_init__(self) -> None:
        _check(
            0 < self.keep_share <= 1, "pool.keep_share", f"{self.keep_share:g} is not a share", "use a value in (0, 1]"
        )


@dataclass(frozen=True)
class LearnerSettings:
    """A learner run: model, data, selection and training."""

    __pydantic_config__: ClassVar[Any] = STRICT
    model: ModelSettings = field(default_factory=ModelSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    warm_start: bool = False  # start from the reference's weights

    def __post_init__(self) -> None:
        b, n = self.training.batch_size, self.selection.num_chunks
        _check(
            self.selection.method != "joint" or n <= b,
            "selection.num_chunks",
            f"N = {n} chunks of a batch of b = {b} pairs",
            "use N <= b",
        )
        k, steps = self.selection.stale_steps, self.training.steps
        _check(
            k < steps,
            "selection.stale_steps",
            f"k = {k} of {steps} steps: the starting weights would choose every batch",
            "use fewer than training.steps",
        )
        proxy = self.selection.proxy
        _check(
            proxy is None or proxy.compact_vocabulary == self.model.compact_vocabulary,
            "selection.proxy.compact_vocabulary",
            "is not the learner's, and both read the same token ids",
            "set it as model.compact_vocabulary is",
        )

    @property
    def super_batch_size(self) -> int:
        """B = round(b / (1 - f)); b itself where nothing is selected."""
        b = self.training.batch_size
        return b if self.selection.method == "uniform" else max(b, round(b / (1 - self.selection.filter_ratio)))


@dataclass(frozen=True)
class ReferenceSettings:
    """The reference: trained on the curated set, or imported from an open_clip checkpoint."""

    __pydantic_config__: ClassVar[Any] = STRICT
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    import_from: str | None = None  # a local open_clip checkpoint directory; nothing is trained then


@dataclass(frozen=True)
class EmbedSettings:
    """What is computed once a set: the reference's embeddings, token ids, packed pixels."""

    __pydantic_config__: ClassVar[Any] = STRICT
    batch: int = 512
    device: str = "auto"
    pack_limit_mb: int = 2_000  # pixels are packed as uint8 where the whole set stays under this
    jobs: int = 2

    def __post_init__(self) -> None:
        _check(self.batch >= 1, "embed.batch", f"{self.batch} is not positive", "use 1 or more")


@dataclass(frozen=True)
class FewShotSettings:
    """Few-shot classification by ridge regression over frozen image embeddings (big_vision's `fewshot_lsr`)."""

    __pydantic_config__: ClassVar[Any] = STRICT
    shots: tuple[int, ...] = (1, 5, 10)  # labelled images a class
    seeds: int = 5  # draws of these images
    l2: float = 1024.0  # big_vision's 2 ** 10

    def __post_init__(self) -> None:
        _check(
            bool(self.shots) and min(self.shots) >= 1 and len(set(self.shots)) == len(self.shots),
            "few_shot.shots",
            f"{list(self.shots)} is no list of different positive numbers",
            "use such as [1, 5, 10], or few_shot: null",
        )
        _check(self.seeds >= 1, "few_shot.seeds", f"{self.seeds} draws measure nothing", "use 1 or more")
        _check(self.l2 > 0, "few_shot.l2", f"{self.l2:g} is not positive", "use a positive strength")


@dataclass(frozen=True)
class LinearProbeSettings:
    """A linear classifier over frozen image embeddings, its L2 strength chosen on images that it was not fitted to (CLIP, A.3)."""

    __pydantic_config__: ClassVar[Any] = STRICT
    iterations: int = 1_000  # at most, of L-BFGS
    held_out: float = 0.2  # share of each class that chooses the strength, where no split does
    max_images: int = 20_000  # labelled images at most, of more a seeded draw: a fit takes minutes from here on

    def __post_init__(self) -> None:
        _check(
            self.iterations >= 1,
            "linear_probe.iterations",
            f"{self.iterations} iterations fit nothing",
            "use 1 or more",
        )
        share = f"{self.held_out:g} is not a share of the images"
        _check(0 < self.held_out < 1, "linear_probe.held_out", share, "use a value between 0 and 1")
        few = f"{self.max_images} images teach nothing"
        _check(self.max_images >= 2, "linear_probe.max_images", few, "use more, or linear_probe: null")


@dataclass(frozen=True)
class KnnSettings:
    """Classification by the nearest labelled images, their votes weighted by exp(cosine / temperature) (DINO)."""

    __pydantic_config__: ClassVar[Any] = STRICT
    k: int = 20
    temperature: float = 0.07

    def __post_init__(self) -> None:
        _check(self.k >= 1, "knn.k", f"{self.k} neighbours have no vote", "use 1 or more")
        _check(self.temperature > 0, "knn.temperature", f"{self.temperature:g} is not positive", "use a positive value")


@dataclass(frozen=True)
class EvaluateSettings:
    """How finished models are measured: zero-shot always, and what labelled images teach; null leaves one of these out."""

    __pydantic_config__: ClassVar[Any] = STRICT
    split: str = "test"
    batch: int = 256  # images or texts a forward pass
    device: str = "auto"  # auto, cpu, cuda, mps
    few_shot: FewShotSettings | None = field(default_factory=FewShotSettings)
    linear_probe: LinearProbeSettings | None = field(default_factory=LinearProbeSettings)
    knn: KnnSettings | None = field(default_factory=KnnSettings)

    def __post_init__(self) -> None:
        _check(self.batch >= 1, "evaluate.batch", f"{self.batch} is not positive", "use 1 or more")

    @property
    def learns(self) -> bool:
        """Whether anything learns from labelled images."""
        return any(one is not None for one in (self.few_shot, self.linear_probe, self.knn))


@dataclass(frozen=True)
class ExportSettings:
    """Which rows an audit writes out, as a list of uids and as new shards."""

    __pydantic_config__: ClassVar[Any] = STRICT
    verdicts: tuple[str, ...] = ("worth_it",)
    shard_size: int = 1_000

    def __post_init__(self) -> None:
        _check(self.shard_size >= 1, "export.shard_size", f"{self.shard_size} is not positive", "use 1 or more")
        for verdict in self.verdicts:
            close = get_close_matches(verdict, VERDICTS, 1)
            known = f"verdicts: {', '.join(VERDICTS)}"
            remedy = f"did you mean {close[0]}? {known}" if close else known
            _check(verdict in VERDICTS, "export.verdicts", f"{verdict!r} is not a verdict", remedy)


@dataclass(frozen=True)
class AuditSettings:
    """Which run is audited, and where its verdicts about the pool's rows draw their lines."""

    __pydantic_config__: ClassVar[Any] = STRICT
    run: str = "jest"
    worth_it_chance: float = 0.05
    rarely_chance: float = 0.3
    late_share: float = 0.5  # of the run's steps, at its end
    learned_score: float = 0.0  # learner loss minus reference loss
    low_reference: float = 0.5  # share of the rows whose reference score counts as low
    examples: int = 12
    export: ExportSettings = field(default_factory=ExportSettings)

    def __post_init__(self) -> None:
        for name in ("worth_it_chance", "rarely_chance", "late_share", "low_reference"):
            value = getattr(self, name)
            _check(0 < value < 1, f"audit.{name}", f"{value:g} is out of range", "use a value between 0 and 1")
        _check(self.examples >= 0, "audit.examples", f"{self.examples} is negative", "use 0 or more")
