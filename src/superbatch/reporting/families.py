"""Which runs are candidates of one method: those whose settings differ only in what is tuned, whatever they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from superbatch.options import TrainingSettings
from superbatch.reporting.runs import Run

_OPTIMIZER = {"lr": "learning_rate", "decay": "weight_decay", "beta2": "beta2", "warm-up": "warmup"}


def method_names(runs: Sequence[Run]) -> dict[str, str]:
    """Return the method of each run by the run's name: of candidates with several names (labels), the plainest one.

    That is a chain's own, else the one of most runs, else the shortest.
    """
    names: dict[str, Counter[str]] = {}
    for run in runs:
        if run.role != "reference":
            names.setdefault(run.family, Counter())[run.method] += 1
    chains = {run.method for run in runs if run.name == run.method}

    def plain(count: Counter[str]) -> str:
        return min(count, key=lambda name: (name not in chains, -count[name], len(name), name))

    return {run.name: run.method if run.role == "reference" else plain(names[run.family]) for run in runs}


def tuned_words(run: Run) -> list[str]:
    """A run's tuned settings in words: `best 30 %`, `lr 0.001`, `decay 0.0001`, `gain 10`."""
    optimizer = run.setting("training", "optimizer", {})
    words = _filter_words(run)
    words += [
        f"{word} {optimizer[key]:.3g}"
        for word, key in _OPTIMIZER.items()
        if isinstance(optimizer.get(key), (int, float))
    ]
    gain = run.setting("selection", "gain")
    gains = [f"gain {gain:.3g}"] if run.role == "selecting" and gain is not None else []
    return words + gains + _row_words(run) + _schedule_words(run)


def _row_words(run: Run) -> list[str]:
    """With how many of its rows it begins: `5 % of the rows first by rarity, all after 30 %`; nothing where all are there from the start."""
    few = run.setting("training", "first_share", 1.0)
    over = run.setting("training", "grows_over", TrainingSettings.grows_over)
    by = run.setting("training", "first_by", "chance")
    how = "" if by == "chance" else f" by {by}"
    return [] if few == 1 else [f"{100 * few:.3g} % of the rows first{how}, all after {100 * over:.3g} %"]


def _schedule_words(run: Run) -> list[str]:
    """How f and the criterion go along the run: `f to 0 over 30 %`, `power 2`, `then f 0.8 from 50 %`; nothing where both stay."""
    final, over = run.setting("selection", "final_filter_ratio"), run.setting("selection", "falls_over", 1.0)
    adapt, then = (run.setting("selection", name, {}) for name in ("adapt", "then"))
    words = [] if final is None else [f"f to {final:g}" + (f" over {100 * over:.3g} %" if over < 1 else "")]
    words += [f"power {adapt['power']:g}"] if adapt else []
    if then:
        since = "once outgrown" if then.get("after") is None else f"from {100 * then['after']:.3g} %"
        last = then.get("final_filter_ratio")
        words.append(f"then f {then['filter_ratio']:g}{'' if last is None else f' to {last:g}'} {since}")
    return words


def _filter_words(run: Run) -> list[str]:
    """What a filter keeps: `best 30 %`, or `best 30 % of 256 clusters (balance 0.5)`; `rows that clean keeps`; nothing where the pool is whole."""
    share, clusters = run.setting("pool", "keep_share", 1.0), run.setting("pool", "clusters", 0)
    balanced = f" of {clusters} clusters (balance {run.setting('pool', 'balance', 0.0):g})" if clusters else ""
    decision = run.setting("pool", "curated_by")
    decided = [] if decision is None else [f"rows that {decision} keeps"]
    return [*decided, *([f"best {100 * share:.3g} %{balanced}"] if share < 1 else [])]
