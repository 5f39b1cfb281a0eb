"""Settings of models, their optimiser and one training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Interval, Predicate

from superbatch.bounds import Because, Count, Natural, Positive, Seed, Settings, require


@dataclass(frozen=True)
class ModelSettings(Settings, section="model"):
    """Which open_clip model: a configuration file, and optionally weights to start from; or open_clip's names of them (`models.hub`)."""

    config: str = "conf/models/tiny.json"
    pretrained: str | None = (
        None  # weights to start from: a checkpoint directory, a weight file, a tag or name of open_clip's
    )
    compact_vocabulary: bool = True
    init_logit_scale: Positive = 10.0  # SigLIP's start; the model stores its logarithm
    init_logit_bias: float | None = None  # None: -log(b - 1), the prior of a batch of b (papers.md 5.1)


@dataclass(frozen=True)
class OptimizerSettings(Settings, section="optimizer"):
    """AdamW with linear warm-up and a cosine to zero (JEST App. A.1)."""

    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 1e-4
    beta1: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Interval(ge=0, lt=1)] = 0.95  # 0.999 gives loss spikes at f = 0.8 (JEST fig. 6)
    epsilon: Annotated[float, Ge(0)] = 1e-8
    warmup: Annotated[float, Interval(ge=0, lt=1), Because("{value} is not a share of the steps")] = 0.05
    gradient_clip: Positive = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"


def _is_factor_or_off(value: float) -> bool:
    return value == 0 or value > 1


SpikeFactor = Annotated[
    float,
    Predicate(_is_factor_or_off),
    Because("{value} would call ordinary losses spikes", "more than 1, or 0 for off"),
]

WHERE = "name a host and port of one of them, such as node0:29400"  # where machines meet


@dataclass(frozen=True)
class TrainingSettings(Settings, section="training"):
    """One training from start to end; reference and learner share it."""

    batch_size: Annotated[int, Ge(2), Because("{value} pairs have no negatives")] = 128
    steps: Annotated[int, Ge(1), Because("{value} steps are too few")] = 1_000
    loss: Literal["sigmoid", "softmax"] = "sigmoid"
    seed: Seed = 0
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: Natural = 0  # 0: what torch chooses
    workers: Natural = 0
    processes: Count = 1  # ranks on each machine
    machines: Count = 1
    rendezvous: str | None = None  # `host:port`, where the machines meet; the host may be an IPv6 address
    interface: str | None = None  # network interface by which ranks talk, such as eth1; None: what gloo and nccl choose
    shard: bool = False  # each rank holds its part of the models and optimisers (`training.sharding`)
    timeout: Count = 600  # seconds that ranks wait for one that is silent
    accumulate: Count = 1  # micro-batches a step; all negatives count whatever their number
    checkpoint_activations: bool = False  # compute them again in the backward pass: less memory, more time
    compile: bool = False  # torch.compile of both towers
    deterministic: bool = (
        True  # on a GPU: the same bits every time, or an error that names the operation that can't give them
    )
    # bound of the temperature as a factor; None: the loss's own, 100 for softmax, none for sigmoid
    max_scale: Annotated[float, Ge(1), Because("{value} is below the smallest scale, 1")] | None = None
    shuffle_window: Natural = 0
    # the share of the rows that a run begins with; rows join until all are in. 1: all from the start
    first_share: Annotated[float, Interval(gt=0, le=1), Because("{value} is not a share of the rows")] = 1.0
    # the share of the steps by whose end all rows are in; without first_share it decides nothing
    grows_over: Annotated[float, Interval(gt=0, le=1), Because("{value} is not a share of the steps")] = 0.3
    first_by: Literal["chance", "rarity"] = "chance"  # which rows come first: any, or those of few and common words
    checkpoint_every: Count = 200
    keep_checkpoints: Count = 2
    keep_best: str | None = None  # a validation metric, `<set>/<metric>`: its best checkpoint is kept too
    # evaluations without a better `keep_best`, after which the run ends; its best checkpoint is then the result. 0: takes all its steps
    patience: Natural = 0
    tolerance: Annotated[float, Ge(0)] = (
        0.0  # values of `keep_best` at most this far below the highest count as equal to it; the last of them wins
    )
    evaluate_every: Count = 200
    score_batch: Natural = 0  # samples a forward pass of the scoring step; 0: 16 to 128 on a CPU, by what is read of a sample; 1,024 elsewhere
    on_bad_step: Literal["stop", "skip"] = "stop"  # a loss or gradient that is not finite, or a spike
    spike_factor: SpikeFactor = 0.0  # a loss above this times the running median is a spike; 0 looks for none
    spike_window: Count = 50  # good steps that the median is taken over
    fresh: bool = False
    resume_from: str | None = None
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)

    def check(self) -> None:
        """Refuse a batch that cannot be cut as asked, machines that would not find each other, and sharded models that are compiled."""
        require(
            not (self.shard and self.compile),
            "training.shard",
            "cannot be combined with training.compile",
            "leave one of the two out",
        )
        require(
            self.first_share == 1 or self.shuffle_window == 0,
            "training.first_share",
            "draws rows from all over the set, and training.shuffle_window reads neighbours",
            "leave one of the two out",
        )
        require(
            self.first_share < 1 or self.first_by == "chance",
            "training.first_by",
            f"{self.first_by} says which rows come first, and all are there from the start",
            "set training.first_share too, such as 0.05",
        )
        cuts = self.processes * self.machines * self.accumulate
        require(
            self.batch_size >= cuts,
            "training.batch_size",
            f"{self.batch_size} samples cannot be split into {cuts} micro-batches",
            "use fewer processes, machines or accumulate",
        )
        require(
            self.patience == 0 or self.keep_best is not None,
            "training.patience",
            f"waits {self.patience} evaluations for a better value, but of no metric",
            "name the metric as training.keep_best, such as classification/top1",
        )
        require(
            self.machines == 1 or self.rendezvous is not None,
            "training.rendezvous",
            f"{self.machines} machines do not know where to meet",
            WHERE,
        )
        host, _, port = (self.rendezvous or "").rpartition(":")
        require(
            self.rendezvous is None or (bool(host) and port.isdecimal()),
            "training.rendezvous",
            f"{self.rendezvous!r} is not a host and a port",
            WHERE,
        )
