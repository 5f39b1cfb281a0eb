"""A world of the reference map: its sets, references of all strengths, and learners that choose by them; made by the library, without Kedro.

All that is made on the way lies in a folder of its own, under fingerprints, so that a map that was stopped goes on where it was.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from reference_map_sets import Curated, once

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged
from superbatch.config import learner_settings, read
from superbatch.data.embeddings import cosines
from superbatch.data.manifest import read_manifest
from superbatch.errors import UserError, did_you_mean
from superbatch.evaluation.store import fingerprint_of_sets
from superbatch.files import read_json
from superbatch.models import ClipModel, build_model, load_checkpoint, pick_device, read_metadata
from superbatch.models.towers import Towers
from superbatch.nested import merge
from superbatch.options import EmbedSettings, LearnerSettings, ReferenceSettings
from superbatch.tasks import SetFiles, embed, import_reference, learner_job, reference_job
from superbatch.tasks.check import Checked, check
from superbatch.tasks.embed import write_view
from superbatch.tasks.jobs import make_evaluate
from superbatch.tasks.reference import check_reference, split_rows
from superbatch.tasks.sample import embed_rows
from superbatch.tasks.view import preprocessing, shell
from superbatch.training import train_once

SPLITS = ("validation", "test")


def parameters(environment: str | None) -> dict[str, Any]:
    """Read the project's parameters with those of an environment on top.

    Models' configurations are named by their whole paths: the working directory is the one that the sets were ingested in.
    """
    found = common.parameters(environment)
    for block in ("reference", "learner"):
        found[block]["model"]["config"] = str(common.ROOT / found[block]["model"]["config"])
    return found


@dataclass(frozen=True)
class Strength:
    """Which reference.

    Attributes:
        pairs: of the curated set that it gets, of which it holds some out itself. steps: that it takes at most.
        source: a checkpoint directory to import instead.
    """

    pairs: int = 0
    steps: int = 0
    source: Path | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        return f"imported {self.source.name}" if self.source else f"{self.pairs:,} pairs, {self.steps:,} steps"


@dataclass(frozen=True)
class Reference:
    """A reference, trained or still to be.

    Attributes:
        run_hash: names it. seen, held: rows of the curated set that it is trained on, and that were held out from just that, int64.
        make: trains or imports it, unless that is done; returns checkpoint and records.
    """

    strength: Strength
    run_hash: str
    seen: np.ndarray
    held: np.ndarray
    make: Callable[[], tuple[Staged, Staged]]


@dataclass(frozen=True)
class Judged(Checked):
    """A reference beside pairs that no reference of the map was trained on: these count as held out, whatever its own record says.

    Attributes:
        unseen: how many these are. They come first in the order of `held_out_rows`, in the whole curated set and so in each part of it.
    """

    unseen: int = 0

    @property
    def held_out(self) -> int:
        """Pairs that are measured."""
        return self.unseen


@dataclass(frozen=True)
class World:
    """A pool with its curated set and evaluation sets.

    Attributes:
        name, parameters: what it is called; the project's settings for it.
        pool, evaluation: ingested sets. curated: the curated set, in parts.
        work: the folder for all that is made. seed: of the references. threads: of all trainings.
    """

    name: str
    parameters: dict[str, Any]
    pool: Path
    curated: Curated
    evaluation: Path
    work: Path
    seed: int
    threads: int

    def reference(self, strength: Strength) -> Reference:
        """Find out what a reference would be; nothing is trained yet."""
        settings = read(ReferenceSettings, self.parameters["reference"], "reference")
        return self._imported(strength, settings) if strength.source else self._trained(strength, settings)

    def _trained(self, strength: Strength, settings: ReferenceSettings) -> Reference:
        rows = self.curated.subset(strength.pairs)
        curated = SetFiles(self.curated.part(rows))
        places, held = split_rows(curated.manifest(), settings.held_out)
        training = replace(
            settings.training,
            steps=strength.steps,
            batch_size=fitting(settings.training.batch_size, len(places)),
            evaluate_every=min(settings.training.evaluate_every, strength.steps),
            seed=self.seed,
            threads=self.threads,
        )
        settings = replace(settings, training=training)
        check_reference(settings, len(places), len(rows) - len(places))
        job = reference_job(settings, curated, self.work / "state")
        return Reference(
            strength, job.run_hash, rows[places], rows[held], partial(train_once, job, self.work / "stages")
        )

    def _imported(self, strength: Strength, settings: ReferenceSettings) -> Reference:
        # Scale and bias are fitted to these pairs where the checkpoint has none.
        rest = SetFiles(self.curated.part(np.sort(self.curated.order)))
        settings = replace(settings, import_from=str(strength.source))
        made = import_reference(settings, rest, self.work / "stages", lambda clip: {})
        run_hash = str(read_json(made[1].path / "run.json")["run_hash"])
        return Reference(strength, run_hash, np.arange(0), self.curated.unseen, lambda: made)

    def judge(self, reference: Reference) -> dict[str, Any]:
        """Train or import a reference, run the reference check on the pairs that none has seen, and measure it as a model."""
        model, training = (staged.path for staged in reference.make())
        unseen = self.curated.unseen
        part = read_manifest(self.curated.part(np.union1d(unseen, reference.seen)))
        found = check(Judged(model, training, part, read_manifest(self.pool), len(unseen)))
        summary = read_json(training / "run.json")
        steps = {name: summary[name] for name in ("result_of_step", "steps_taken") if name in summary}
        check_numbers = {name: value for name, value in found.items() if name not in ("scores", "format")}
        return steps | {"weights": summary["digests"]["weights"], "check": check_numbers} | self._measured(model)

    def settings(self, method: str, steps: int, rate: float, seed: int) -> LearnerSettings:
        """Read a method's settings, with a map's on top: it looks at validation once, at the end.

        Raises:
            UserError: an unknown method.
        """
        if "learner" not in self.parameters.get(method, {}):
            known = [name for name, block in self.parameters.items() if isinstance(block, dict) and "learner" in block]
            raise UserError("--methods", f"there is no method {method!r}", did_you_mean(method, known))
        training = {"steps": steps, "seed": seed, "threads": self.threads, "optimizer": {"learning_rate": rate}}
        override = merge(self.parameters[method]["learner"], {"training": training | {"evaluate_every": steps}})
        return learner_settings(self.parameters["learner"], override, method)

    def learn(self, method: str, settings: LearnerSettings, reference: Reference | None) -> dict[str, Any]:
        """Train a learner and measure it. Its checkpoint is not kept."""
        model = None if reference is None else reference.make()[0].path
        features = self._view if model is None else self._features(model)
        pool = SetFiles(self.pool, features)
        known = None if reference is None else partial(self._known, reference)
        job = learner_job(method, settings, pool, self.work / "state", reference_dir=model, known=known)
        learner, training = train_once(job, self.work / "stages")
        found = {"run_hash": job.run_hash, "digests": read_json(training.path / "run.json")["digests"]}
        found |= self._measured(learner.path)
        shutil.rmtree(job.state_dir)
        return found

    def _known(self, reference: Reference) -> np.ndarray:
        """How curated pairs score that a reference was not trained on, as far as a user with its curated set would have them."""
        clip = load_checkpoint(reference.make()[0].path)
        clip.model.eval()
        towers = Towers.of(clip, torch.device("cpu"), "auto")
        images, texts, _ = embed_rows(clip, towers, self.curated.manifest, reference.held)
        return cosines(images.numpy(), texts.numpy())

    @cached_property
    def measured_on(self) -> str:
        """Names the content of the evaluation sets."""
        return fingerprint([fingerprint_of_sets(self.evaluation, split) for split in SPLITS])

    def _measured(self, model: Path) -> dict[str, Any]:
        clip = load_checkpoint(model)
        clip.model.to(pick_device("auto"))
        return {split: make_evaluate(self.evaluation, split)(clip) for split in SPLITS}

    @property
    def _embedding(self) -> EmbedSettings:
        return replace(read(EmbedSettings, self.parameters["embed"], "embed"), jobs=self.threads)

    @cached_property
    def _learner(self) -> ClipModel:
        settings = learner_settings(self.parameters["learner"], None, "learner")
        return build_model(settings.model, loss="sigmoid", batch_size=2, seed=0)

    @cached_property
    def _view(self) -> Path:
        """The pool's pixels and token ids as learners read them: the same beside every reference's embeddings."""
        manifest, how = read_manifest(self.pool), self._embedding

        def write(out: Path) -> None:
            write_view(self._learner, manifest, out, how)

        decides = [manifest.fingerprint, preprocessing(self._learner), how.pack_limit_mb]
        return once("pool view", ["view", *decides], self.work / "stages", write)

    def _features(self, model: Path) -> Path:
        """The pool as a reference embeds it."""
        manifest, how = read_manifest(self.pool), self._embedding

        def write(out: Path) -> None:
            for folder in (path.resolve() for path in self._view.iterdir() if path.is_dir()):
                (out / folder.name).symlink_to(folder, target_is_directory=True)
            embed(SetFiles(self.pool, out), model, learner=self._learner, settings=how, name="pool")

        decides = [manifest.fingerprint, read_metadata(model)["weights_sha256"], preprocessing(shell(model)), how.batch]
        return once("pool features", ["features", *decides], self.work / "stages", write)


def fitting(batch: int, rows: int) -> int:
    """Return a batch size halved until there are so many rows: a small curated set is no reason to have no reference."""
    while batch > max(rows, 2):
        batch //= 2
    return batch


def timed(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Call, and add the processor seconds that it took and when it ended."""
    start = common.processor_seconds()
    found = call()
    spent = round(common.processor_seconds() - start, 1)
    return found | {"cpu_seconds": spent, "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
