"""The value that guessing would reach, and whether a value is clearly above it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from superbatch.reporting.numbers import percent

RANKED = re.compile(r"(?:top|_r)(\d+)$")  # within how many first answers the right one must be
ONE_ANSWER = re.compile(r"mean_per_class|few_shot_\d+|linear_probe|knn|fine_tune")


def chance_of(metric: str, result: dict[str, Any]) -> float:
    """The value of one set's metric (`top1`, `text_to_image_r5`) by guessing; NaN where it is not known.

    Args:
        result: an evaluation's, with `num_classes`, or `num_images` for retrieval (as many first answers out of so many).
    """
    candidates = result.get("num_classes") or (result.get("num_images") if "_to_" in metric else None)
    found = RANKED.search(metric)
    if not candidates or not (found or ONE_ANSWER.fullmatch(metric)):
        return np.nan
    return min(1.0, (int(found[1]) if found else 1) / candidates)


def main_metrics(result: dict[str, Any]) -> list[str]:
    """The metrics whose mean is a set's main one."""
    found = result["metrics"]
    if "image_to_text_r1" in found:
        return ["image_to_text_r1", "text_to_image_r1"]
    return [next((name for name in ("top1", "linear_probe", "knn") if name in found), next(iter(found)))]


def near_chance(frame: pd.DataFrame) -> bool:
    """Whether no run's value is clearly above chance, by its interval over test images (without one: twice as high).

    Args:
        frame: `runs_frame`; runs whose value or chance is not known have no say, and none of them is near chance.
    """
    if "chance" not in frame:
        return False
    known = frame[frame["value"].notna() & frame["chance"].notna()]
    low = known["value_low"].fillna(known["value"] / 2)
    return bool(len(known) > 0 and (low <= known["chance"]).all())


def chance_sentence(frame: pd.DataFrame, title: str) -> str:
    """The one sentence on runs that are all near chance."""
    known = frame[frame["value"].notna() & frame["chance"].notna()]
    low, high, chance = known["value"].min(), known["value"].max(), known["chance"].max()
    values = percent(low) if percent(low) == percent(high) else f"{percent(low)} to {percent(high)}"
    return (
        f"All runs are near chance ({title} {values} %, chance {percent(chance)} %): "
        "nothing can be said of the methods before they are trained for longer."
    )
