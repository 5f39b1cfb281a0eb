"""Settings of whole runs: a learner's and the reference's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from superbatch.bounds import Because, Natural, Settings, require
from superbatch.options.distill import DistillSettings
from superbatch.options.flexi import FlexiSettings, LowSettings
from superbatch.options.images import MoclrSettings
from superbatch.options.labels import LabelSettings
from superbatch.options.selection import SelectionSettings
from superbatch.options.training import ModelSettings, TrainingSettings

SECOND = "reference_pp"  # the reference that is trained on the enlarged curated set (`bootstrap`)
FURTHER = "reference_"  # before the names of the block `references`
NAMES = "use reference, reference_pp, or reference_<name> of the block `references`"  # that a reference may have


def is_reference(name: str) -> bool:
    """Whether a run of this name is a reference, the first one or another."""
    return name == "reference" or name.startswith(FURTHER)


@dataclass(frozen=True)
class PoolSettings(Settings, section="pool"):
    """Which rows a learner draws from."""

    # best share of the pool by the cached reference score; 1 keeps all (`filtered` tunes it)
    keep_share: Annotated[float, Interval(gt=0, le=1), Because("{value} is not a share")] = 1.0
    add_curated: bool = False
    clusters: Natural = 0  # of the pool's captions; the best of each are kept; 0 filters the pool as a whole
    # how evenly clusters share what is kept: 0 as in the pool, 1 as many of each
    balance: Annotated[float, Interval(ge=0, le=1)] = 0.0
    # finds the share to keep: rows that score at least as high as this share of held-out curated pairs, such as 0.95; 0: keep_share is used
    like_curated: Annotated[float, Interval(ge=0, lt=1), Because("{value} is not a share of the held-out pairs")] = 0.0
    curated_by: str | None = None  # a decision of `curate.decide`: only rows that it keeps are drawn from

    @property
    def filters(self) -> bool:
        """Whether the reference's scores decide which rows are drawn from."""
        return self.keep_share < 1 or self.like_curated > 0

    def check(self) -> None:
        """Refuse two ways to say what is kept, clusters where nothing is filtered, and a balance without clusters."""
        require(
            self.curated_by is None or not self.filters,
            "pool.curated_by",
            "says which rows are kept, and so does keep_share or like_curated",
            "make it a rule of the decision (best_share), and leave the other out",
        )
        require(
            self.like_curated == 0 or self.keep_share == 1,
            "pool.like_curated",
            f"{self.like_curated:g}, and keep_share says {self.keep_share:g}: both say how much is kept",
            "set keep_share to 1, or like_curated to 0",
        )
        require(
            self.clusters == 0 or self.filters,
            "pool.clusters",
            f"{self.clusters:,} clusters of a pool that is kept whole",
            "set pool.keep_share below 1, or leave the clusters out",
        )
        require(
            self.balance == 0 or self.clusters > 0,
            "pool.balance",
            f"{self.balance:g} without clusters: there is nothing to balance",
            "set pool.clusters, such as 64, or leave the balance out",
        )


@dataclass(frozen=True)
class LearnerSettings(Settings, section="learner"):
    """A learner run: model, data, selection and training."""

    model: ModelSettings = field(default_factory=ModelSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    warm_start: bool = False  # start from the reference's weights
    flexi: FlexiSettings | None = None  # the image tower's low view, which scores and trains in part (Flexi-JEST)
    # which one decides and teaches: that of the curated set; reference_pp, of the curated set as the first enlarged it (JEST++); or
    # reference_<name>, one of `references`
    reference: str = "reference"
    distill: DistillSettings | None = None  # the reference teaches too, or another model does
    labels: LabelSettings | None = None  # trains on classes, by cross-entropy (ClassAct); None: on image-text pairs
    moclr: MoclrSettings | None = None  # trains on images alone, against a momentum target; None: on image-text pairs

    def check(self) -> None:
        """Refuse what does not fit together: selection, training, the models trained along, references, a low view, a teacher, labels."""
        if self.labels is not None:
            self._check_labels()
        if self.moclr is not None:
            self._check_moclr()
        self._check_selection()
        self._check_along()
        require(
            is_reference(self.reference),
            "learner.reference",
            f"{self.reference!r} is not the name of a reference",
            NAMES,
        )
        if self.flexi is not None:
            self._check_flexi(self.flexi)
        if self.distill is not None:
            self._check_distill(self.distill)

    def _check_selection(self) -> None:
        """Refuse a selection that does not fit the batch or the steps."""
        b, n = self.training.batch_size, self.selection.num_chunks
        require(
            self.selection.method != "joint" or n <= b,
            "selection.num_chunks",
            f"N = {n} chunks of a batch of b = {b} pairs",
            "use N <= b",
        )
        require(
            self.training.first_by == "chance" or (self.labels is None and self.moclr is None),
            "training.first_by",
            f"{self.training.first_by} goes by captions, which this run does not train on",
            "leave it out, or set it to chance",
        )
        k, steps = self.selection.stale_steps, self.training.steps
        require(
            k < steps,
            "selection.stale_steps",
            f"k = {k} of {steps} steps: the starting weights would choose every batch",
            "use fewer than training.steps",
        )
        switch = self.selection.switch(steps)
        require(
            self.selection.then is None or self.selection.outgrows or 0 < switch < steps,
            "selection.then.after",
            f"takes over at step {switch} of {steps}: one of the two parts has no step",
            "set a share nearer to 0.5, or leave selection.then out",
        )

    def _check_along(self) -> None:
        """Refuse a model trained along that reads other token ids, and a reference trained along beside a low view or a teacher."""
        for where, along in self.selection.along.items():
            require(
                along.compact_vocabulary == self.model.compact_vocabulary,
                f"{where}.compact_vocabulary",
                "is not the learner's, and both read the same token ids",
                "set it as model.compact_vocabulary is",
            )
        online = self.selection.online_reference is not None
        for other, given in (("flexi", self.flexi), ("distill", self.distill)):
            require(
                not online or given is None,
                other,
                "cannot be combined with selection.online_reference",
                "leave one of the two out",
            )

    def _check_distill(self, distill: DistillSettings) -> None:
        require(
            distill.teacher is None or is_reference(distill.teacher),
            "distill.teacher",
            f"{distill.teacher!r} is not the name of a reference",
            NAMES,
        )
        require(
            self.flexi is None,
            "distill",
            "needs embeddings at full resolution, and flexi trains some at low",
            "leave one of the two out",
        )
        require(
            distill.batch == "chosen" or self.selection.adapt is None,
            "distill.batch",
            "separate draws from all rows, and selection.adapt keeps some aside to measure by",
            "use chosen, or leave one of the two out",
        )
        require(
            distill.how == "distillation" or self.training.loss == "softmax",
            "distill.how",
            f"reweighting is a softmax loss, and training.loss is {self.training.loss}",
            "set training.loss to softmax",
        )

    def _check_labels(self) -> None:
        """Refuse settings for image-text pairs: a class has no cached reference embedding."""
        self._check_without_pairs("labels are set", "leave it out, or leave labels out")
        for name, fits, what, remedy in (
            ("training.loss", self.training.loss == "softmax", "is sigmoid, but classes need cross-entropy", "set it to softmax"),
            ("selection.method", self.selection.method != "joint", "is joint, but a labelled image is scored by itself", "use independent"),
        ):  # fmt: skip
            require(fits, name, what, remedy)

    def _check_moclr(self) -> None:
        """Refuse settings for pairs or labels: an image alone has no score, by the reference or by the learner."""
        self._check_without_pairs("moclr is set", "leave it out, or leave moclr out")
        method = self.selection.method
        for name, fits, what, remedy in (
            ("training.loss", self.training.loss == "softmax", "is sigmoid, and InfoNCE is a softmax", "set it to softmax"),
            ("labels", self.labels is None, "are not used with moclr", "leave one of the two out"),
            ("selection.method", method == "uniform", f"is {method}, and moclr has no scores to choose by", "use uniform"),
        ):  # fmt: skip
            require(fits, name, what, remedy)

    def _check_without_pairs(self, why: str, out: str) -> None:
        """Refuse what only image-text pairs have. `why`, `out`: what the settings say instead, and the usual remedy."""
        selection = self.selection
        for name, fits, what, remedy in (
            ("distill", self.distill is None, "is of pairs", out),
            ("flexi", self.flexi is None, "is of pairs", out),
            ("warm_start", not self.warm_start, "takes a reference of pairs", "name a checkpoint as model.pretrained"),
            ("pool.curated_by", self.pool.curated_by is None, "is decided by scores of pairs", out),
            ("pool", not self.pool.filters, "is filtered by scores of pairs", "set keep_share to 1 and like_curated to 0"),
            ("selection.score", selection.score == "loss", "is match, which is of pairs", "use loss"),
            ("selection.adapt", selection.adapt is None, "measures pairs", out),
            ("selection.online_reference", selection.online_reference is None, "is of pairs", out),
        ):  # fmt: skip
            require(fits, name, f"{what}, and {why}", remedy)

    def _check_flexi(self, flexi: FlexiSettings) -> None:
        selection = self.selection
        require(
            selection.proxy is None,
            "flexi",
            "a proxy scores in the learner's place, so the learner's low view would score nothing",
            "leave one of flexi and selection.proxy out",
        )
        for unused, name, does in (
            (not flexi.low_share and not selection.scores, "low_share", "is 0, and no model scores: nothing is low"),
            (flexi.tokens is not None and not selection.scores, "tokens", "are those of scoring, and no model scores"),
            (flexi.reference == "low" and not selection.uses_reference, "reference", "is low, and nothing reads it"),
        ):
            require(not unused, f"flexi.{name}", does, "leave it out, or use a criterion that does, as in jest")

    @property
    def uses_reference(self) -> bool:
        """Whether the reference decides anything: the batches, the rows, where the learner starts, or what it is taught."""
        by_scores = self.pool.filters or self.pool.curated_by is not None
        return self.selection.uses_reference or by_scores or self.warm_start or self._taught_by_reference

    @property
    def uses_embeddings(self) -> bool:
        """Whether the reference's cached embeddings are read: by whoever uses it but for a warm start."""
        if self.labels is not None:
            return False  # of a reference of labels there are losses in their place
        if self.selection.online_reference is not None:
            return self.pool.filters
        return self.selection.uses_reference or self.pool.filters or self._taught_by_reference

    @property
    def teacher(self) -> str | None:
        """The name of the model that teaches in the reference's place; None where that is the reference, and without a teacher."""
        named = None if self.distill is None else self.distill.teacher
        return None if named == self.reference else named

    @property
    def _taught_by_reference(self) -> bool:
        return self.distill is not None and self.teacher is None

    @property
    def goes_by(self) -> str:
        """The name of the reference that it reads: the first one too where none decides anything."""
        return self.reference if self.uses_reference else "reference"

    @property
    def reference_view(self) -> LowSettings | None:
        """The low view in which the reference saw the pool; None where it was the full one."""
        return self.flexi.low if self.flexi is not None and self.flexi.reference == "low" else None

    @property
    def super_batch_size(self) -> int:
        """B = round(b / (1 - f)), by the largest f along the run; b itself where nothing is selected."""
        return self.selection.largest(self.training.batch_size)


@dataclass(frozen=True)
class ReferenceSettings(Settings, section="reference"):
    """The reference: trained on the curated set, or imported from an open_clip checkpoint."""

    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    import_from: str | None = None  # an open_clip checkpoint directory or name; nothing is trained then
    # share of the curated set that it is not trained on, for the reference check; conf/base sets 0.1
    held_out: Annotated[float, Interval(ge=0, lt=1), Because("{value} is not a share of the curated set")] = 0.0
    # the set that it is trained on: the curated one, or the pool itself (ActiveCLIP's in-domain reference), which needs no curation
    trained_on: Literal["curated", "pool"] = "curated"
    flexi: FlexiSettings | None = None  # trains some samples at a low view, so that it is good at both
    labels: LabelSettings | None = None  # a reference of classes, for learners by labels; None: of image-text pairs

    def check(self) -> None:
        """Refuse a low view that nothing is trained at, and what it has for scoring alone; and labels beside what is of pairs."""
        require(
            self.trained_on == "curated" or self.import_from is None,
            "trained_on",
            "is the pool, and an imported reference is trained on nothing",
            "leave one of the two out",
        )
        require(
            self.training.first_by == "chance",
            "training.first_by",
            "is for learners, which train on a pool",
            "set it in the method's own block",
        )
        labels = self.labels
        for name, fits, what, remedy in (
            ("import_from", self.import_from is None, "is a checkpoint of pairs, and labels are set", "leave one of the two out"),
            ("flexi", self.flexi is None, "is of pairs, and labels are set", "leave one of the two out"),
            ("training.loss", self.training.loss == "softmax", "is sigmoid, but classes need cross-entropy", "set it to softmax"),
        ):  # fmt: skip
            require(labels is None or fits, name, what, remedy)
        if self.flexi is None:
            return
        require(
            self.import_from is None,
            "reference.flexi",
            "an imported reference is not trained, at no view",
            "leave it out",
        )
        require(self.flexi.low_share > 0, "reference.flexi.low_share", "is 0: nothing is low", "use more, or no flexi")
        for name, usual in (("tokens", None), ("reference", "full")):
            what = "is for scoring, and the reference is trained without it"
            require(getattr(self.flexi, name) == usual, f"reference.flexi.{name}", what, "set it in learner.flexi")


def check_added(settings: LearnerSettings) -> None:
    """Refuse the curated set beside the pool where something goes by scores, which only the pool's rows have: of a run that is asked for, as `check_shard`.

    Raises:
        UserError: just that.
    """
    scored = settings.selection.method != "uniform" or settings.pool.filters or settings.distill is not None
    require(
        not (settings.pool.add_curated and scored),
        "pool.add_curated",
        "cannot be combined with selection, a filter or distill",
        "add the curated shards to the pool's list instead",
    )


def check_shard(settings: LearnerSettings | ReferenceSettings) -> None:
    """Refuse models that are cut over ranks beside what takes them apart in other ways: of a run that is asked for, since methods share their settings.

    Raises:
        UserError: just that.
    """
    for name in ("flexi", "labels", "moclr"):
        fits = not settings.training.shard or getattr(settings, name, None) is None
        require(fits, "training.shard", f"cannot be combined with {name}", "leave one of the two out")
