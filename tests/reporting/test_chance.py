from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from superbatch.reporting.chance import chance_of, near_chance


@pytest.mark.parametrize(
    ("metric", "chance"),
    [("top1", 0.01), ("top5", 0.05), ("mean_per_class", 0.01), ("image_to_text_r5", 0.1), ("text_to_image_r10", 0.2)],
)
def test_chance_follows_from_classes_or_candidates(metric: str, chance: float) -> None:
    about = {"num_images": 50, "num_texts": 200} if "_to_" in metric else {"num_images": 50, "num_classes": 100}
    assert chance_of(metric, about) == pytest.approx(chance)
    assert np.isnan(chance_of(metric, {})) and np.isnan(chance_of("loss", about))


def frame(value: float, low: float, chance: float = 0.005) -> pd.DataFrame:
    return pd.DataFrame([{"value": value, "value_low": low, "chance": chance}])


def test_near_chance_goes_by_each_run_s_own_interval() -> None:
    assert near_chance(frame(0.008, 0.004)) and not near_chance(frame(0.02, 0.012))
    assert near_chance(frame(0.009, np.nan)) and not near_chance(frame(0.02, np.nan))
    assert not near_chance(pd.concat([frame(0.008, 0.004), frame(0.3, 0.28)]))
    assert not near_chance(frame(0.008, 0.004, np.nan)) and not near_chance(frame(0.3, 0.2)[["value"]])
