"""The map behind the reference check: references of all strengths, what the check says of each, and where selecting by it beats uniform.

    python benchmarks/reference_map.py --world simweb --curated-pairs 11000 [--reference DIR ...] [--seeds 0 1 2]
    python benchmarks/reference_map.py --world icons --data data/icons
    python benchmarks/reference_map.py                                  tables of what is recorded, and --figure FILE

A world is an ingested pool, curated set and evaluation sets: `02_intermediate` of a data folder. A part of the curated set is never trained
on: by it all references are judged. The rest gives curated sets of --pairs, each within the next, and each a reference trained long (the steps of
conf) and one trained a quarter as long, as the project trains its own. Learners of equal steps then choose by each of them; `uniform` needs none.

Each result is a line of --results as soon as it is there, and a line that is there is not made again: the command can be stopped and given again.
Remove a line to have it made anew. Paths in manifests count from the working directory: give the command where the sets were ingested.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import common
import torch
from reference_map_rows import MEASURES, UNIFORM, Rows, blocks, draw, figures, told
from reference_map_sets import Curated, more_curated, quick_sets
from reference_map_world import Reference, Strength, World, parameters, timed

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.manifest import read_manifest
from superbatch.errors import Interrupted, UserError
from superbatch.models import read_config
from superbatch.options import LearnerSettings, PoolSettings, SelectionSettings, TrainingSettings
from superbatch.training.job import deciding

RESULTS = common.ROOT / "benchmarks" / "results" / "reference_map.jsonl"
PAIRS = (100, 300, 1_000, 3_000, 10_000)
METHODS = (UNIFORM, "filtered", "easy_reference", "adaptive_self_paced", "safe", "jest", "independent")
RATE = 1e-3
SHORT = 4  # the short references have so many times fewer steps


@dataclass(frozen=True)
class Preset:
    """What is usual for a world.

    Attributes:
        environment: of conf. data: its folder. steps: of learners. rates: where they are not `RATE`.
    """

    environment: str | None
    data: str
    steps: int
    rates: dict[str, float] = field(default_factory=dict)


WORLDS = {
    "simweb": Preset(None, "data", 1_230, {UNIFORM: 5e-4, "filtered": 5e-4}),
    "icons": Preset("icons", "data/icons", 1_000),
    "emoji": Preset("emoji", "data/emoji", 600),
}
QUICK = Preset("quick", "", 6)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--world", choices=WORLDS, help="which to add to; without one, what is recorded is shown")
    made.add_argument("--data", type=Path, metavar="FOLDER", help="holds 02_intermediate (default: the world's own)")
    made.add_argument("--curated-pairs", type=int, metavar="N", help="simweb: render a curated set of N pairs first")
    made.add_argument("--pairs", type=int, nargs="+", default=list(PAIRS), help="sizes of the curated sets")
    made.add_argument("--reference", type=Path, action="append", default=[], metavar="DIR", help="import this one too")
    made.add_argument("--reference-steps", type=int, metavar="N", help="of the long ones (default: conf's)")
    made.add_argument("--methods", nargs="+", default=list(METHODS))
    made.add_argument("--steps", type=int, metavar="N", help="of learners (default: the world's own)")
    made.add_argument("--rate", type=rate, action="append", default=[], metavar="METHOD=VALUE", help="learning rate")
    made.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="of learners; --seed: of subsets and references"
    )
    made.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="a JSON line a result")
    made.add_argument("--work", type=Path, metavar="FOLDER", help="for all that is made on the way")
    made.add_argument("--measure", choices=MEASURES, default="headline", help="of the figure; the tables show all")
    made.add_argument("--figure", type=Path, metavar="PNG")
    made.set_defaults(threads=1)  # a run's bits, and so its hash, depend on it
    options = made.parse_args(given)
    if options.curated_pairs and options.world != "simweb":
        made.error("--curated-pairs renders simweb: name --world simweb")
    for method, _ in options.rate:
        if method not in options.methods:
            made.error(f"--rate {method}: it is not among --methods ({', '.join(options.methods)})")
    return options


def rate(text: str) -> tuple[str, float]:
    """Read `method=value`."""
    method, _, value = text.partition("=")
    return method, float(value)


def main() -> None:
    """Add to the map what the command line asks for, and show it."""
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            options.results = Path(folder) / "map.jsonl"
            add(quick_world(options, Path(folder)), options, QUICK)
            show(options)
        return
    if options.world:
        add(world_of(options), options, WORLDS[options.world])
    show(options)


def world_of(options: argparse.Namespace) -> World:
    """Open the world that the command line names."""
    preset = WORLDS[options.world]
    found, data = parameters(preset.environment), options.data or Path(preset.data)
    work = (options.work or common.ROOT / "data" / "reference_map" / options.world).resolve()
    sets = data / "02_intermediate"
    pairs = options.curated_pairs
    curated = more_curated(found["simweb"], pairs, work) if pairs else sets / "curated"
    parts = Curated(curated, work / "stages", options.seed)
    return World(options.world, found, sets / "pool", parts, sets / "evaluation", work, options.seed, options.threads)


def quick_world(options: argparse.Namespace, folder: Path) -> World:
    """Render a world of a few hundred pairs, and ask for little."""
    options.pairs, options.reference_steps, found = [60], 8, parameters(QUICK.environment)
    found["learner"]["training"]["batch_size"] = 16  # easy_reference chooses it from 320
    pool, curated, evaluation = quick_sets(found["simweb"], folder)
    parts = Curated(curated, folder / "stages", options.seed)
    return World("quick", found, pool, parts, evaluation, folder, options.seed, options.threads)


def add(world: World, options: argparse.Namespace, preset: Preset) -> None:
    """Make all rows that are not there yet: a whole map by the first seed, then by the next."""
    rows = Rows(options.results)
    references = [world.reference(strength) for strength in strengths(world, options)]
    for reference in references:
        make(rows, about(world, reference), partial(world.judge, reference))
    for seed in options.seeds:
        for method, settings, reference in learners(world, options, preset, references, seed):
            own = about(world, reference, method, settings)
            make(rows, own, partial(world.learn, method, settings, reference))


def strengths(world: World, options: argparse.Namespace) -> Iterator[Strength]:
    """Yield the references of a map, weak ones first."""
    steps = options.reference_steps or world.parameters["reference"]["training"]["steps"]
    sizes = world.curated.sizes(options.pairs)
    for pairs in sorted(set(options.pairs) - set(sizes)):
        print(f"{world.name}: {pairs:,} pairs are left out, there are {len(world.curated.order):,} to train on")
    for pairs in sizes:
        for taken in (max(1, steps // SHORT), steps):
            yield Strength(pairs, taken)
    yield from (Strength(source=source.resolve()) for source in options.reference)


def learners(
    world: World, options: argparse.Namespace, preset: Preset, references: list[Reference], seed: int
) -> Iterator[tuple[str, LearnerSettings, Reference | None]]:
    """Yield a seed's learners: those that need no reference, then those of each."""
    rates = preset.rates | dict(options.rate)
    steps = options.steps or preset.steps
    settings = {m: world.settings(m, steps, rates.get(m, RATE), seed) for m in options.methods}
    yield from ((method, one, None) for method, one in settings.items() if not one.uses_reference)
    for reference in references:
        yield from ((method, one, reference) for method, one in settings.items() if one.uses_reference)


def about(
    world: World, reference: Reference | None, method: str | None = None, settings: LearnerSettings | None = None
) -> dict[str, Any]:
    """Say what a row is about; `reference_map_rows.KEY` names what tells it from others."""
    strength = None if reference is None else reference.strength
    found: dict[str, Any] = {
        "kind": "reference" if settings is None else "learner",
        "world": world.name,
        "pool": read_manifest(world.pool).fingerprint,
        "evaluation": world.measured_on,
        "reference": reference and reference.run_hash,
        "label": strength and strength.label,
        "curated": world.curated.manifest.fingerprint,
        "pairs": strength and strength.pairs,
        "reference_steps": strength and strength.steps,
        "seed": world.seed,
    }
    if settings is None:
        return found
    training = settings.training
    learner = {"steps": training.steps, "rate": training.optimizer.learning_rate, "seed": training.seed}
    return found | {"method": method, "settings": identity(settings)} | learner


def identity(settings: LearnerSettings) -> str:
    """Name the settings that decide a learner's outcome, whatever its data and reference."""
    blocks = (settings.training, TrainingSettings()), (settings.selection, SelectionSettings()), (settings.pool, PoolSettings())  # fmt: skip
    return fingerprint([read_config(settings.model.config), *(deciding(*block) for block in blocks)])


def make(rows: Rows, row: dict[str, Any], call: Callable[[], dict[str, Any]]) -> None:
    """Make a row and add it, unless it is there."""
    if rows.has(row):
        return
    found = timed(call)
    rows.add(row | {"commit": common.commit(), "machine": common.machine()} | found)
    what = ", ".join(filter(None, [row["world"], row["label"], row.get("method"), f"seed {row['seed']}"]))
    verdict = f"; {found['check']['line']}" if "check" in found else ""
    print(
        f"{what}: headline {100 * found['test']['headline']:.1f} %, {found['cpu_seconds']:.0f} CPU s{verdict}",
        flush=True,
    )


def show(options: argparse.Namespace) -> None:
    """Print a table a world, number of steps and measure; draw the figure; end with the line of JSON."""
    rows = Rows(options.results).read()
    if not rows:
        raise UserError(str(options.results), "nothing is recorded yet", "name a --world to begin with")
    found = {measure: blocks(rows, measure) for measure in MEASURES}
    print("Gains on test, in points: over uniform / over the filter that goes by the same reference.", end="\n\n")
    everything = [block for of_measure in found.values() for block in of_measure]
    print(*map(told, everything), sep="\n\n", end="\n\n")
    if unnamed := sum("evaluation" not in row for row in rows):
        print(f"{unnamed} rows do not name the evaluation sets they were measured on; they count for any.", end="\n\n")
    if options.figure and found[options.measure]:
        draw(found[options.measure], options.figure)
    by_world: dict[str, list[dict[str, Any]]] = {}
    for block in everything:
        by_world.setdefault(block.world, []).append(figures(block))
    options.seed = sorted({row["seed"] for row in rows})
    common.report("reference_map", {"map": by_world}, options)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"Error: {error}")
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_code)
