"""Making all of it: evaluation sets first, then curated set and pool without what the evaluation sets show, then the data card."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import atomic_directory, write_json
from superbatch.data.writing import write_lines, write_split
from superbatch.icons.card import write_card
from superbatch.icons.licences import is_permissive
from superbatch.icons.rendering import require_resvg
from superbatch.icons.sets import Drawing, IconSet
from superbatch.icons.shards import OUTLINE, Kept, Outcome, Owners, evaluation_samples, write_training_shard
from superbatch.icons.splits import TEST, VALIDATION, Splits, deal
from superbatch.options import IconsSettings
from superbatch.progress import progress

log = logging.getLogger(__name__)
TEMPLATES = ("{c}",)  # captions are names without a sentence around them
SUMMARY_FILE = "summary.json"
_TAR_BYTES, _PNG_BYTES = (
    2_560,
    0.85,
)  # of a sample in a tar, and of a pixel in it: for the estimate of the space it takes


def make(sets: list[IconSet], settings: IconsSettings, out: Path) -> dict[str, Any]:
    """Render the icon sets below `out`, which is replaced as a whole when everything is written.

    Layout: `pool/*.tar`, `curated/*.tar` (img2dataset's), `evaluation/{classification,retrieval}/{validation,test}/`
    (CLIP_benchmark's), `README.md` (the data card), `contact_sheet.png`, `summary.json`. Bytes depend on sets and settings alone,
    `jobs` excepted.

    Args:
        sets: of the whole package; only those under permissive licences are used.
        settings: who is held out, sizes, seed.
        out: the directory.

    Returns:
        Counts, as in `summary.json`.

    Raises:
        UserError: no resvg-py; settings that the package can't meet.
    """
    require_resvg()
    splits, owners = deal(sets, settings), Owners.of(sets)
    _announce(splits, settings)
    with atomic_directory(Path(out)) as root:
        outcomes = _write_evaluation(splits, owners, settings, root / "evaluation")
        pictures = frozenset().union(*(one.pictures for one in outcomes.values()))
        kept_out = Kept(splits.held_out, pictures)
        for name, drawings in (("curated", splits.curated), ("pool", splits.pool)):
            outcomes[name] = _write_training_set(name, drawings, owners, settings, kept_out, root / name)
        summary = summarise(sets, splits, outcomes)
        write_json(root / SUMMARY_FILE, summary)
        write_card(root, sets, settings, summary)
    _conclude(summary)
    return summary


def _announce(splits: Splits, settings: IconsSettings) -> None:
    drawings = len(splits.pool) + len(splits.curated)
    size = drawings * (_TAR_BYTES + _PNG_BYTES * settings.image_size**2) / 1e9
    log.info(
        "icons: rendering %s drawings at %d px in %d processes, about %.1f GB; held out for validation and test: %s",
        f"{drawings:,}",
        settings.image_size,
        _processes(settings),
        size,
        f"{sum(splits.num_held_out.values()):,}",
    )


def _conclude(summary: dict[str, Any]) -> None:
    failed = ", ".join(f"{count:,} {reason}" for reason, count in summary["failed"].items()) or "none"
    republished = sum(count for counts in summary["republished"].values() for count in counts.values())
    log.info(
        "icons: pool %s, curated set %s, %s classes; without a picture: %s; left out as re-publications: %s",
        f"{summary['samples']['pool']:,}",
        f"{summary['samples']['curated']:,}",
        f"{summary['classes']:,}",
        failed,
        f"{republished:,}",
    )


def _processes(settings: IconsSettings) -> int:
    return settings.jobs or os.cpu_count() or 1


def _write_evaluation(splits: Splits, owners: Owners, settings: IconsSettings, root: Path) -> dict[str, Outcome]:
    """Write both evaluation sets, test before validation, so that validation shows nothing of it."""
    classes = {name: number for number, name in enumerate(splits.classnames)}
    write_lines(root / "classification" / "classnames.txt", splits.classnames)
    write_lines(root / "classification" / "zeroshot_classification_templates.txt", TEMPLATES)
    outcomes: dict[str, Outcome] = {}
    tested: set[bytes] = set()
    for split in (TEST, VALIDATION):
        kept_out = Kept(pictures=frozenset(tested if split == VALIDATION else ()))
        for kind, drawings in (
            ("classification", splits.classification[split]),
            ("retrieval", splits.retrieval[split]),
        ):
            write_lines(root / kind / "dataset_type.txt", [kind])
            outcome = outcomes[f"{kind}/{split}"] = Outcome()
            numbers = classes if kind == "classification" else None
            samples = evaluation_samples(drawings, owners, settings, kept_out, numbers, outcome)
            write_split(root / kind / split, samples)
            tested |= outcome.pictures
    return outcomes


def _write_training_set(
    name: str, drawings: list[Drawing], owners: Owners, settings: IconsSettings, kept_out: Kept, folder: Path
) -> Outcome:
    """Write the shards of pool or curated set, over processes where more than one job is allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = (
        (folder / f"{number:05d}.tar", own, number * settings.shard_size, owners, settings, kept_out, name == "curated")
        for number, own in enumerate(_batched(drawings, settings.shard_size))
    )
    total = Outcome()
    with progress(total=len(drawings), description=f"icons: {name}", unit="drawing") as bar:
        for outcome in _over_shards(tasks, _processes(settings)):
            total.add(outcome)
            bar.update(outcome.seen)
    return total


def _batched(drawings: list[Drawing], size: int) -> Iterator[list[Drawing]]:
    rest = iter(drawings)
    while batch := list(islice(rest, size)):
        yield batch


def _over_shards(tasks: Iterator[tuple[Any, ...]], jobs: int) -> Iterator[Outcome]:
    from joblib import Parallel, delayed

    if jobs == 1:
        return (write_training_shard(*task) for task in tasks)
    work: Iterator[Outcome] = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(write_training_shard)(*task) for task in tasks
    )
    return work


def summarise(sets: list[IconSet], splits: Splits, outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """Return all counts: what was there, what was written where, what failed and why, what was found to be a re-publication."""
    total = Outcome()
    for outcome in outcomes.values():
        total.add(outcome)
    usable = [one for one in sets if is_permissive(one.licence) and one.drawings]
    republished = {name: dict(outcome.republished) for name, outcome in outcomes.items()}
    for name, count in splits.republished.items():
        republished.setdefault(name, {})
        republished[name][OUTLINE] = republished[name].get(OUTLINE, 0) + count
    return {
        "package": {"sets": len(sets), "drawings": sum(len(one.drawings) for one in sets)},
        "permissive": {
            "sets": len(usable),
            "teams": len({one.team for one in usable}),
            "drawings": sum(len(one.drawings) for one in usable),
        },
        "held_out": splits.num_held_out,
        "samples": {name: outcome.written.total() for name, outcome in outcomes.items()},
        "classes": len(splits.classnames),
        "failed": dict(sorted(total.failed.items())),
        "republished": {name: counts for name, counts in republished.items() if any(counts.values())},
        "samples_by_set": dict(sorted(total.written.items())),
    }
