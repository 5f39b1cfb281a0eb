from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import synthetic
from PIL import Image

from superbatch.reporting.gallery import data_uri, first_captions, gallery


def picks() -> pd.DataFrame:
    """Ten steps: row 2s is chosen with score s, row 2s + 1 is passed over with score -s."""
    rows = [(s, 2 * s + i, (-1) ** i * float(s), i == 0) for s in range(10) for i in range(2)]
    return pd.DataFrame(rows, columns=["step", "row", "score", "chosen"])


def test_shelves_hold_the_right_rows() -> None:
    shelves = {
        shelf.title: [item.row for item in shelf.items] for shelf in gallery(picks(), synthetic.pixels, None, limit=3)
    }
    assert shelves == {"Chosen early": [0], "Chosen late": [18], "Passed over": [19], "Never chosen": [19, 17, 15]}


def test_a_row_appears_once_a_shelf_and_with_its_best_score() -> None:
    table = pd.concat([picks(), pd.DataFrame({"step": [9, 9], "row": [4, 4], "score": [99.0, 98.0], "chosen": True})])
    late = next(shelf for shelf in gallery(table, None, None) if shelf.title == "Chosen late")
    assert [(item.row, item.score) for item in late.items] == [(4, 99.0), (18, 9.0)]


def test_pictures_and_captions_belong_to_their_rows(tmp_path: Path) -> None:
    manifest, _ = synthetic.write_set(tmp_path, rows=30)
    kinds = np.array(["clean"] * 30, dtype=object)
    item = gallery(picks(), synthetic.pixels, first_captions(manifest), kinds=kinds)[1].items[0]
    assert item.row == 18 and "row 18" in item.caption and item.kind == "clean" and item.picture is not None
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(item.picture.split(",")[1]))))
    assert np.array_equal(
        np.moveaxis(picture[::5, ::5], -1, 0), synthetic.pixels(np.array([18]))[0]
    )  # 32 px grew fivefold


def test_without_pictures_and_without_picks() -> None:
    assert all(
        item.picture is None and item.caption == "" for shelf in gallery(picks(), None, None) for item in shelf.items
    )
    assert gallery(picks()[:0], synthetic.pixels, None) == []
    uniform = picks().assign(score=np.nan, chosen=True)
    assert gallery(uniform, None, None) == []


def test_large_pictures_are_made_small() -> None:
    uri = data_uri(np.zeros((3, 300, 300), np.uint8), side=96)
    assert Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size == (96, 96)
