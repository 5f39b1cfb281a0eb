from __future__ import annotations

from pathlib import Path

import numpy as np

from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.pipelines.report.nodes import link_to_docs, link_to_search
from superbatch.simweb.truth import find_truth


def test_the_truth_is_the_one_beside_the_pools_own_shards(tmp_path: Path) -> None:
    """Not that of an embedded default rendered earlier, when the shards are one's own."""
    picture = encode_image(np.zeros((16, 16, 3), np.uint8), "png")
    samples = [Sample(f"{number}", {"png": picture, "txt": b"a caption"}) for number in range(3)]
    write_shard(tmp_path / "mine" / "pool" / "0.tar", samples)
    ingest([tmp_path / "mine" / "pool" / "0.tar"], tmp_path / "set")
    assert find_truth(read_manifest(tmp_path / "set")) is None
    truth = tmp_path / "mine" / "truth" / "pool.parquet"
    truth.parent.mkdir()
    truth.touch()
    assert find_truth(read_manifest(tmp_path / "set")) == truth


def test_the_search_page_is_linked_to_where_there_is_one(tmp_path: Path) -> None:
    docs = tmp_path / "data_docs"
    assert link_to_search(docs) is None
    (tmp_path / "search.html").touch()
    assert link_to_search(docs) == "search.html"


def test_data_docs_are_linked_to_where_there_are_any(tmp_path: Path) -> None:
    docs = tmp_path / "08_reporting" / "data_docs"
    assert link_to_docs(docs) is None
    (docs / "pool").mkdir(parents=True)
    (docs / "pool" / "index.html").touch()
    assert link_to_docs(docs) == "data_docs/pool/index.html"
