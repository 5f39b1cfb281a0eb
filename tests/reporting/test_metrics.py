from __future__ import annotations

from superbatch.reporting.metrics import flat_metrics, headline_title, metric_title


def test_metrics_are_flattened() -> None:
    nested = {"split": "test", "num_images": 5, "metrics": {"top1": 0.5, "deep": {"x": 1}}, "per_class": [1, 2]}
    assert flat_metrics(nested, "classification") == {"classification/top1": 0.5, "classification/deep/x": 1.0}
    assert flat_metrics({"classification/top1": 0.25, "note": "text", "flag": True}) == {"classification/top1": 0.25}


def test_metric_titles() -> None:
    names = ["classification/top1", "emoji/text_to_image_r1", "headline", "birds/mean_per_class"]
    assert [metric_title(name) for name in names] == [
        "top-1",
        "text to image R@1 on emoji",
        "mean over the sets",
        "mean per class on birds",
    ]


def test_the_headline_is_called_after_what_it_is() -> None:
    retrieval, classification = {"metrics": {"image_to_text_r1": 0.1}}, {"metrics": {"top1": 0.1}}
    assert headline_title({"emoji": retrieval}) == "mean R@1 on emoji"
    assert headline_title({"birds": classification}) == "top-1 on birds"
    assert headline_title({"emoji": retrieval, "birds": classification}) == "mean over the sets"
