"""JEST++ by the size of the enlarged set: how good the second reference is, and what a learner gains by it (the paper's figure 5).

    python benchmarks/bootstrapping.py [--quick] [--json FILE] [--threads N] [--seed N]
                                       [--data FOLDER] [--shares S ...] [--methods M ...] [--steps T] [--reference-steps T]

Each share of the pool joins the curated set, in one round (`bootstrap` of conf with that share), and a second reference is trained on both; learners
of each method then choose by it. The row of no pairs is the first reference. All values are of the test split; gains are over the same method by the
first reference. FOLDER holds 02_intermediate (default: data); what is made on the way stays in FOLDER/bootstrapping and is found again. Paths in
manifests count from the working directory: give the command where the sets were ingested.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

import common
from reference_map_sets import once, quick_sets
from reference_map_world import parameters

from superbatch.artifacts.stamps import Staged
from superbatch.config import learner_settings, read, second_reference
from superbatch.data.manifest import read_manifest
from superbatch.files import read_json
from superbatch.models import build_model, load_checkpoint, read_metadata
from superbatch.nested import from_dotted, merge
from superbatch.options import BootstrapSettings, EmbedSettings, ReferenceSettings
from superbatch.tasks import SetFiles, embed
from superbatch.tasks.bootstrap import Bootstrapping, run_rounds
from superbatch.tasks.jobs import Directories, build_learner, build_reference, make_evaluate
from superbatch.training import train_once

SHARES = (0.025, 0.05, 0.1, 0.2)
METHODS = ("easy_reference", "jest")
METRICS = {
    "top-1": ("classification/top1",),
    "R@1": ("retrieval/image_to_text_r1", "retrieval/text_to_image_r1"),
}  # means


@dataclass(frozen=True)
class World:
    """A pool with its curated set and evaluation sets.

    Attributes:
        given: the project's settings. pool, curated, evaluation: ingested sets. work: the folder for all that is made.
    """

    given: dict[str, Any]
    pool: Path
    curated: Path
    evaluation: Path
    work: Path

    @property
    def stages(self) -> Path:
        """Where what is made stays, by its fingerprint."""
        return self.work / "stages"

    @cached_property
    def first(self) -> Directories:
        """The first reference, trained as the project trains it, with its features."""
        settings = read(ReferenceSettings, self.given["reference"], "reference")
        job = build_reference(settings, self.curated, self.evaluation, self.work / "state")
        model, training = (one.path for one in train_once(job, self.stages))
        return self.chooser(model, training)

    def chooser(self, model: Path, training: Path) -> Directories:
        """A reference as learners read it: it has embedded the sets."""
        pool, curated = (
            self.embed(name, folder, model) for name, folder in (("pool", self.pool), ("curated", self.curated))
        )
        places = (self.pool, pool, self.curated, curated, model, training, self.evaluation, self.work / "state")
        return Directories(*places)

    def embed(self, name: str, directory: Path, model: Path) -> Path:
        """Embed a set with a reference."""
        how = read(EmbedSettings, self.given["embed"], "embed")
        settings = learner_settings(self.given["learner"], None, "learner")
        view = build_model(settings.model, loss="sigmoid", batch_size=2, seed=0)

        def write(out: Path) -> None:
            embed(SetFiles(directory, out), model, learner=view, settings=how, name=name)

        decides = [read_manifest(directory).fingerprint, read_metadata(model)["weights_sha256"], how.batch]
        return once(f"{name} features", ["features", *decides], self.stages, write)

    def second(self, share: float) -> tuple[Directories, dict[str, Any]]:
        """Enlarge the curated set by a share of the pool and train a reference on it; returns it, and the counts of its set."""
        block = merge(self.given["bootstrap"], {"share": share, "rounds": 1})
        wanted, reference = (
            read(BootstrapSettings, block, "bootstrap"),
            second_reference(self.given["reference"], block),
        )

        def embedded(name: str, directory: Path, model: Path) -> Staged:
            raise AssertionError("one round embeds nothing anew")

        last = run_rounds(Bootstrapping(wanted, reference, self.first, self.stages, embedded))[-1]
        assert last.enlarged is not None, "a round has its set"
        return self.chooser(last.model, last.training), read_json(last.enlarged / "enlarged.json")

    def learn(self, method: str, by: Directories, second: bool, steps: int) -> dict[str, float]:
        """Train a learner that chooses by a reference and measure it on the test split."""
        own = {"training": {"steps": steps, "evaluate_every": steps}} | (
            {"reference": "reference_pp"} if second else {}
        )
        override = merge(self.given[method]["learner"], own)
        job = build_learner(method, learner_settings(self.given["learner"], override, method), by)
        return self.measured(train_once(job, self.stages)[0].path)

    def measured(self, model: Path) -> dict[str, float]:
        """A model on the test split."""
        found = make_evaluate(self.evaluation, "test")(load_checkpoint(model))
        return {name: mean(found[metric] for metric in metrics) for name, metrics in METRICS.items()}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--data", type=Path, default=Path("data"), metavar="FOLDER", help="holds 02_intermediate")
    made.add_argument("--shares", type=float, nargs="+", default=SHARES, metavar="S", help="of the pool, to join")
    made.add_argument("--methods", nargs="+", default=METHODS, metavar="M")
    made.add_argument("--steps", type=int, default=1_230, help="of the learners")
    made.add_argument(
        "--reference-steps", type=int, metavar="T", help="of the second references (default: as the first)"
    )
    return made.parse_args()


def opened(options: argparse.Namespace, work: Path) -> World:
    """Open the project's sets, or make small ones."""
    given = parameters("quick" if options.quick else None)
    changes: dict[str, Any] = {f"{name}.training.threads": options.threads for name in ("reference", "learner")}
    changes |= {"learner.training.seed": options.seed, "reference.training.seed": options.seed, "embed.jobs": 1}
    if options.reference_steps:
        changes["bootstrap.reference.training.steps"] = options.reference_steps
    if options.quick:
        changes |= {"bootstrap.clusters": 4}
        given = merge(given, from_dotted(changes))
        return World(given, *quick_sets(given["simweb"], work), work)
    sets = options.data / "02_intermediate"
    folders = (sets / name for name in ("pool", "curated", "evaluation"))
    return World(merge(given, from_dotted(changes)), *folders, work)


def row(world: World, share: float, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a share: its reference, and each method's learner by it."""
    by, counts = world.second(share) if share else (world.first, {"chosen": 0, "recaptioned": 0})
    found = {method: world.learn(method, by, share > 0, options.steps) for method in options.methods}
    return {"share": share, **counts, "reference": world.measured(by.reference_model), "learners": found}


def cells(one: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """A row of the table: values and, of all but the first, what they are above it, in points."""
    pairs = [(one["reference"], first["reference"])]
    pairs += [(found, first["learners"][method]) for method, found in one["learners"].items()]
    shown = [f"{one['share']:g}", f"{one['chosen'] + one['recaptioned']:,}"]
    for own, before in pairs:
        for name in METRICS:
            gain = "" if one is first else f" ({100 * (own[name] - before[name]):+.1f})"
            shown.append(f"{100 * own[name]:.1f}{gain}")
    return shown


def main() -> None:
    """Measure all shares, print the table and the line of JSON."""
    options = arguments()
    if options.quick:
        options.steps, options.shares, options.methods = 4, (0.1,), ("jest",)
    with tempfile.TemporaryDirectory() as scratch:
        world = opened(options, Path(scratch) if options.quick else options.data / "bootstrapping")
        rows = [row(world, share, options) for share in (0.0, *options.shares)]
    header = [
        "share",
        "pairs added",
        *(f"{name} {metric} %" for name in ("reference", *options.methods) for metric in METRICS),
    ]
    print(common.table(header, [cells(one, rows[0]) for one in rows]))
    common.report("bootstrapping", {"steps": options.steps, "rows": rows}, options)


if __name__ == "__main__":
    main()
