from __future__ import annotations

from superbatch.reporting.metrics import flat_metrics, metric_title


def test_metrics_are_flattened() -> None:
    nested = {"split": "test", "num_images": 5, "metrics": {"top1": 0.5, "deep": {"x": 1}}, "per_class": [1, 2]}
    assert flat_metrics(nested, "classification") == {"classification/top1": 0.5, "classification/deep/x": 1.0}
    assert flat_metrics({"classification/top1": 0.25, "note": "text", "flag": True}) == {"classification/top1": 0.25}


def test_metric_titles() -> None:
    names = ["classification/top1", "emoji/text_to_image_r1", "headline", "birds/mean_per_class"]
    assert [metric_title(name) for name in names] == [
        "top-1",
        "text to image R@1 on emoji",
        "headline",
        "mean per class on birds",
    ]
