"""What a search reads, and what it refuses: runs and sets by name."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from superbatch.artifacts.stamps import STAMP
from superbatch.datasets.reading import listed
from superbatch.errors import UserError
from superbatch.options import SearchSettings
from superbatch.reporting.commands import PARAMS, parameters

if TYPE_CHECKING:
    from superbatch.evaluation import EvaluationSet
    from superbatch.models import ClipModel
    from superbatch.tasks.pictures import PicturePixels, Pictures, SearchedSet

POOL, CURATED = "pool", "curated"
SPLIT = "test"  # of evaluation sets
ASKED = 4  # classes that are asked for where no query is given
EXAMPLE = "other words"


def check_runs(wanted: Iterable[str], known: Iterable[str], checkpoints: Path, where: str = "search.runs") -> None:
    """Refuse a run that is not there and that no pipeline makes.

    Args:
        wanted: the runs that are asked for.
        known: the runs that pipelines make.
        checkpoints: the folder of all checkpoints.
        where: the setting that asks for them.

    Raises:
        UserError: no run of that name; it names the nearest.
    """
    there = {path.parent.name for path in checkpoints.glob(f"*/{STAMP}")}
    names = sorted(there | set(known))
    for run in wanted:
        if run not in names:
            close = get_close_matches(run, names, 1)
            remedy = f"did you mean {close[0]}?" if close else f"runs: {listed(names)}"
            raise UserError(where, f"no run is called {run!r}", remedy)


def open_sets(
    settings: SearchSettings, pool: Path, curated: Path, features: Path, evaluation_sets: Path
) -> list[SearchedSet]:
    """Open the sets that are searched, in the order of the settings.

    Raises:
        UserError: no set of that name.
    """
    from superbatch.data.manifest import read_manifest
    from superbatch.evaluation import load_evaluation_sets
    from superbatch.tasks.pictures import SearchedSet

    by_name = {one.name: one for one in load_evaluation_sets(evaluation_sets, SPLIT)}
    found = []
    for name in settings.sets:
        if name in (POOL, CURATED):
            manifest = read_manifest(pool if name == POOL else curated)
            captions = manifest.first_captions()
            found.append(SearchedSet(name, manifest, captions, features if name == POOL else None))
        elif name in by_name:
            found.append(SearchedSet(name, by_name[name].manifest, by_name[name].image_captions))
        else:
            known = ", ".join([POOL, CURATED, *by_name])
            raise UserError("search.sets", f"no set is called {name!r}", f"there are {known}")
    return found


def class_names(evaluation: Sequence[EvaluationSet]) -> list[str]:
    """Return the names of all classes, each once."""
    return list(dict.fromkeys(name for one in evaluation for name in one.classnames))


def queries_of(settings: SearchSettings, evaluation_sets: Path, words: Sequence[str]) -> list[str]:
    """Return what is asked for: the settings' queries, else some classes, drawn at random, else the most frequent words.

    Raises:
        UserError: nothing of the three.
    """
    from superbatch.evaluation import load_evaluation_sets
    from superbatch.tasks.pictures import sample

    names = class_names(load_evaluation_sets(evaluation_sets, SPLIT))
    found = list(settings.queries) or [names[i] for i in sample(len(names), ASKED)] or list(words[:ASKED])
    if not found:
        raise UserError("search.query", "there is nothing to look for", "say what, as in search.query=star")
    return found


def pixels_for(clip: ClipModel, pictures: Pictures, sets: Sequence[SearchedSet]) -> PicturePixels:
    """Open the pictures' pixels in a model's view."""
    from superbatch.tasks.pictures import PicturePixels
    from superbatch.tasks.view import View, open_pixels

    view = View.of(clip)
    return PicturePixels(pictures, [open_pixels(view, one.manifest, one.features) for one in sets])


def asking(command: str) -> str:
    """Return the command that asks for other words, everything else as in this run's own."""
    words = shlex.split(command)
    kept = [entry for entry in parameters(command) if not entry.startswith("search.query=")]
    rest = [word for word in words if not word.startswith(PARAMS)]
    return shlex.join([*rest, f"{PARAMS}{','.join([*kept, f'search.query={EXAMPLE}'])}"])
