from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from superbatch.artifacts.stamps import write_stamp
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.errors import UserError
from superbatch.pipelines.report.nodes import check_whole, link_to_docs, link_to_search
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


def test_a_run_with_a_file_that_was_cut_is_refused_and_one_without_it_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "jest-T10-s0"
    ledger = run / "training" / "ledger.parquet"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("whole")
    check_whole(run.name, run)  # records without stamps, such as of runs elsewhere, are taken as they are
    write_stamp(ledger.parent, "mark")
    check_whole(run.name, run)
    ledger.write_text("who")
    again = "run `kedro run --pipelines=compare --namespaces=jest-T10-s0`, which makes it again"
    with pytest.raises(UserError) as caught:
        check_whole(run.name, run)
    told = "jest-T10-s0/training/ledger.parquet: is damaged: 3 bytes, and its stage had written 5; "
    assert str(caught.value) == told + again
    ledger.unlink()
    assert not caplog.messages
    check_whole(run.name, run)
    line = f"report: jest-T10-s0/training/ledger.parquet: is missing, though its stage had written it; {again}"
    assert caplog.messages == [line]
