"""What the runs on a pool picked, along their length, and what the joint draw adds to the same scores drawn alone.

    python benchmarks/understand.py                                        the runs in data/, of simweb
    python benchmarks/understand.py --data data/icons --pool icons         those of the real pool

Prints a table over all runs that were trained on the pool and writes a page, `08_reporting/understand.html` in the data's folder or --out
FILE; docs/understanding.md says how to read both. Runs, manifest and the reference's embeddings must be there; nothing is trained. --quick takes
fewer clusters and steps. The last line is JSON: for each run purity (where the truth is known), percentile by the reference's score, effective number of
concepts, different ones in a batch, times each row was taken, and of runs that draw jointly the overlap with the same scores drawn alone. `others_to_own`
says by batch size how much the others of a batch weigh in a pair's loss beside its own match, `explained` what of where the methods end their picks tell.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import common
import numpy as np
import pandas as pd

from superbatch.artifacts.atomic import atomic_path
from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.errors import UserError
from superbatch.options import SelectionSettings
from superbatch.pipelines.audit.inputs import open_draw, rows_in_use
from superbatch.reporting import Run, find_runs
from superbatch.reporting.alone import Beside, agreement, from_record, replayed, weight_of_others
from superbatch.reporting.cells import to_text
from superbatch.reporting.explained import by_method, fit_cells, fits, method_cells, most_compared
from superbatch.reporting.picked import foreign, what_is_known
from superbatch.reporting.understanding import (
    Choices,
    choices_of,
    contrast_cells,
    part_cells,
    render,
    summary_cells,
    weight_cells,
)
from superbatch.simweb.truth import find_truth

MEASURES = ("purity", "percentile", "concepts", "in_batch", "true_concepts", "true_in_batch")
BATCHES = (64, 256, 512)  # for which the weight of the others is told
STEPS_AGAIN = 60  # at which selections are made again


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument(
        "--data", type=Path, default=Path("data"), help="the folder with 02_intermediate, 04_feature, 07_model_output"
    )
    made.add_argument("--pool", default="simweb", help="what the page calls the pool")
    made.add_argument(
        "--out", type=Path, metavar="HTML", help="where the page goes; by default into the data's 08_reporting"
    )
    made.add_argument("--clusters", type=int, metavar="C", help="clusters of captions (256; 64 with --quick)")
    made.add_argument("--parts", action="store_true", help="print every run by tenths too")
    options = made.parse_args()
    options.clusters = options.clusters or (64 if options.quick else 256)
    return options


def main() -> None:
    """Measure all runs of a pool, print the tables, write the page."""
    options = arguments()
    pool, runs = options.data / "02_intermediate" / "pool", find_runs(options.data / "07_model_output")
    manifest, cache = read_manifest(pool), EmbeddingCache(options.data / "04_feature" / "pool" / EMBEDDINGS)
    known = what_is_known(cache, manifest.path, find_truth(manifest), options.clusters)
    found = [
        choices_of(run, known, beside_alone(run, manifest, cache, options.quick))
        for run in of_pool(runs, manifest, cache)
    ]
    if not found:
        raise UserError(
            str(options.data), "no run of this pool left picks", "train one first: kedro run --pipeline=jest"
        )
    reference = next((run for run in runs if run.name == "reference"), None)
    print(to_text(summary_cells(found, reference)), end="\n\n")
    print(to_text(contrast_cells(found)), end="\n\n")
    weights = weight_of_others(cache, BATCHES)
    print(to_text(weight_cells(weights)), end="\n\n")
    figures = explain(found)
    for one in found if options.parts else []:
        print(one.run.name, to_text(part_cells(one)), sep="\n", end="\n\n")
    out = options.out or options.data / "08_reporting" / "understand.html"
    with atomic_path(out) as temporary:
        temporary.write_text(render(options.pool, found, known, weights, reference), encoding="utf-8")
    print(f"Page: {out}")
    options.seed = sorted({one.run.seed for one in found})
    others = {
        f"b{size}": round(ratio, 3) for size, ratio in zip(BATCHES, weights["others"] / weights["own"], strict=True)
    }
    figures |= {
        "others_to_own": others,
        "clusters": options.clusters,
        "runs": {one.run.name: figures_of(one) for one in found},
    }
    common.report("understand", {"pool": options.pool, **figures}, options)


def explain(found: list[Choices]) -> dict[str, Any]:
    """Print a row a method, of the length that most have, and what of their ends the picks explain; return these figures."""
    methods = most_compared(by_method(found))
    print(to_text(method_cells(methods)), end="\n\n")
    explained = fits(methods)
    if explained:
        print(to_text(fit_cells(explained)), end="\n\n")
    return {"explained": {end: [vars(one) for one in several] for end, several in explained.items()}}


def of_pool(runs: list[Run], manifest: Manifest, cache: EmbeddingCache) -> list[Run]:
    """Keep the finished runs that drew from this pool, and by this reference if by any; say which were left out."""
    kept = []
    for run in runs:
        if run.role == "reference" or run.picks is None:
            continue
        if other := foreign(run, manifest.fingerprint, cache.metadata.get("reference")):
            print(f"{run.name}: left out, it was trained with another {other}", file=sys.stderr)
            continue
        kept.append(run)
    return kept


def beside_alone(run: Run, manifest: Manifest, cache: EmbeddingCache, quick: bool) -> Beside | None:
    """Put a run's joint picks beside independent ones; None for runs that don't draw jointly, or by one criterion all along.

    None too where only the record could tell, and B changes: it is read as of one B.
    """
    if run.setting("selection", "method") != "joint" or run.super_batch_size <= run.batch_size:
        return None
    if run.new_kind is not None:
        return None
    assert run.picks is not None
    gain, criterion = run.setting("selection", "gain"), run.setting("selection", "criterion", "learnability")
    if criterion != "easy_reference":
        if run.order(run.super_batch_size).candidates:
            return None
        return from_record(run.picks, run.super_batch_size, gain, run.seed)
    rule = SelectionSettings("joint", run.filter_ratio, criterion, run.setting("selection", "num_chunks"), gain)
    draw = open_draw(run, manifest, rows_in_use(run, cache))
    steps = np.unique(np.linspace(0, draw.steps - 1, STEPS_AGAIN // 3 if quick else STEPS_AGAIN).astype(int)).tolist()
    found = replayed(draw, cache, rule, run.setting("training", "loss"), run.seed, steps)
    same = agreement(found, run.picks)
    if same < 1:
        print(
            f"{run.name}: of the picks made again {100 * same:.2f} % are the run's; another processor rounds otherwise",
            file=sys.stderr,
        )
    return found


def figures_of(one: Choices) -> dict[str, Any]:
    """Return a run's figures for the line of JSON."""
    whole = one.whole.iloc[0]
    named = {name: whole[name] for name in (*MEASURES, "repeats", "never")}
    if one.joint is not None:
        for side in one.joint.to_dict("records"):
            named |= {f"{name}_{side['who']}": side[name] for name in MEASURES}
        named["overlap"] = one.joint["overlap"].iloc[0]
    return {name: round(float(value), 4) for name, value in named.items() if pd.notna(value)}


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"Error: {error}")
