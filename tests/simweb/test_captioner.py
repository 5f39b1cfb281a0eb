"""The captioner that sees scenes: right but for its errors, which come at the rate that is set, and the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.simweb.captioner import caption
from tests.manifests import write_made_up

ROWS, NOISE = 2_000, 7  # every seventh picture shows nothing


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A pool whose truth lies beside its shards in another order, with a pair more that ingestion rejected."""
    folder = tmp_path_factory.mktemp("simweb")
    order = np.random.default_rng(0).permutation(ROWS + 1)
    truth = {
        "key": [f"{row:03d}" for row in order],
        "true_caption": ["" if row % NOISE == 0 else f"scene {row}" for row in order],
    }
    (folder / "truth").mkdir()
    pq.write_table(pa.table(truth), folder / "truth" / "pool.parquet")
    return write_made_up(folder / "set", range(ROWS), str(folder / "pool"))


def test_without_errors_every_scene_is_told(pool: Manifest) -> None:
    rows = np.arange(3, ROWS, 5)
    wanted = [None if row % NOISE == 0 else f"scene {row}" for row in rows]
    assert caption(pool, rows, error_rate=0) == wanted


def test_it_errs_at_its_rate_by_another_pictures_caption(pool: Manifest) -> None:
    rows = np.arange(ROWS)
    told, right = caption(pool, rows, error_rate=0.3), caption(pool, rows, error_rate=0)
    assert [text is None for text in told] == [text is None for text in right]
    wrong = [one for one, other in zip(told, right, strict=True) if one != other]
    assert set(wrong) <= set(filter(None, right)), "each is some picture's"
    share = len(wrong) / sum(text is not None for text in right)
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 1_714) ** 0.5
    assert sum(a == b for a, b in zip(caption(pool, rows, error_rate=1), right, strict=True) if b) < 10


def test_a_rows_caption_hangs_on_nothing_but_the_row_and_the_seed(pool: Manifest) -> None:
    rows = np.array([5, 90, 1_001, 1_500])
    together = caption(pool, np.arange(ROWS), error_rate=0.5)
    assert caption(pool, rows, error_rate=0.5) == [together[row] for row in rows]
    assert caption(pool, np.arange(ROWS), error_rate=0.5, seed=1) != together


def test_what_it_cannot_do_is_one_line(pool: Manifest, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"bootstrap\.captioner: sees the scenes of simweb alone, and no truth/pool\.parquet"
    ):
        caption(write_made_up(tmp_path / "set", [1, 2], "mine"), np.arange(2))
    with pytest.raises(UserError, match=r"captioner_options\.error_rate: 2 is not a share; use 0 to 1"):
        caption(pool, np.arange(2), error_rate=2)
