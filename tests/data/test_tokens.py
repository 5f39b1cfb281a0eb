"""Token ids: each distinct caption once, by row, the tokenizer's own."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from shard_helpers import encode, noise, tar_bytes

from superbatch.data import tokens as tokens_module
from superbatch.data.ingest import ingest
from superbatch.data.manifest import Manifest, read_manifest, write_manifest
from superbatch.data.tokens import Tokens, tokenize_captions
from superbatch.errors import UserError

CAPTIONS = [["b", "a"], ["c"], ["a", "b", "a"], []]


@pytest.fixture
def captioned(tmp_path: Path) -> Manifest:
    members = []
    for i, captions in enumerate(CAPTIONS):
        members += [(f"{i}.png", encode(noise(i))), (f"{i}.txt", "\n".join(captions).encode())]
    (tmp_path / "x.tar").write_bytes(tar_bytes(members))
    ingest([tmp_path / "x.tar"], tmp_path / "out", captions_per_line=True, require_caption=False)
    return read_manifest(tmp_path / "out")


class Letters:
    """A tokenizer that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[99, ord(text), 0] for text in texts], np.int64)


def test_by_row_and_by_caption(captioned: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "CHUNK", 2)
    tokenizer = Letters()
    facts = tokenize_captions(captioned, tokenizer, 3, tmp_path / "tokens", name="letters")
    assert sorted(tokenizer.asked) == ["a", "b", "c"]
    expected = {
        "manifest": captioned.fingerprint,
        "tokenizer": "letters",
        "context_length": 3,
        "rows": 4,
        "captions": 6,
        "distinct_captions": 3,
        "captioned_rows": 3,
    }
    assert facts == expected
    tokens = Tokens(tmp_path / "tokens", captioned.fingerprint)
    assert tokens.ids_CL.dtype == np.int32 and len(tokens) == 4 and tokens.context_length == 3
    first = tokens.of_rows(np.array([2, 0, 1]))
    assert first.dtype == np.int64 and [chr(row[1]) for row in first] == ["a", "b", "c"]
    ids, owner = tokens.captions_of_rows(np.array([2, 3, 0]))
    assert [chr(row[1]) for row in ids] == ["a", "b", "a", "b", "a"] and owner.tolist() == [0, 0, 0, 2, 2]
    again = pickle.loads(pickle.dumps(tokens))
    assert np.array_equal(again.ids_CL, tokens.ids_CL)


def test_rows_without_captions(captioned: Manifest, tmp_path: Path) -> None:
    tokenize_captions(captioned, Letters(), 3, tmp_path / "tokens")
    with pytest.raises(UserError, match="row 3 has no caption"):
        Tokens(tmp_path / "tokens").of_rows(np.array([0, 3]))


def test_a_set_that_lacks_captions_is_refused_before_it_is_read(captioned: Manifest, tmp_path: Path) -> None:
    tokenize_captions(captioned, Letters(), 3, tmp_path / "tokens")
    with pytest.raises(UserError, match="row 3 has no caption"):
        Tokens(tmp_path / "tokens").require_captions()


def test_distinct_ids_are_those_of_first_captions(captioned: Manifest, tmp_path: Path) -> None:
    """Also in a cache that was written before they were kept."""
    rows = pq.read_table(captioned.path).slice(0, 3)
    write_manifest(tmp_path / "three/manifest.parquet", rows, captioned.shard_sizes)
    tokenize_captions(read_manifest(tmp_path / "three"), Letters(), 3, tmp_path / "tokens")
    tokens = Tokens(tmp_path / "tokens")
    tokens.require_captions()
    expected = np.unique(tokens.of_rows(np.arange(3)))
    assert expected.tolist() == [0, 97, 98, 99] == tokens.distinct().tolist()
    (tmp_path / "tokens/distinct.npy").unlink()
    assert tokens.distinct().tolist() == expected.tolist()


def test_open_clips_tokenizer(captioned: Manifest, tmp_path: Path) -> None:
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer(context_length=12)
    tokenize_captions(captioned, tokenizer, 12, tmp_path / "tokens")
    assert np.array_equal(Tokens(tmp_path / "tokens").of_rows(np.array([0, 1])), tokenizer(["b", "c"]).numpy())


def test_another_context_length_or_manifest(captioned: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the tokenizer gives 3 tokens, the model takes 16"):
        tokenize_captions(captioned, Letters(), 16, tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()
    tokenize_captions(captioned, Letters(), 3, tmp_path / "tokens")
    with pytest.raises(UserError, match=f"belongs to manifest {captioned.fingerprint}, this run reads 0123"):
        Tokens(tmp_path / "tokens", "0123")
    with pytest.raises(UserError, match="no such file"):
        Tokens(tmp_path / "nowhere")


def test_a_set_without_captions(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_bytes([("a.png", encode(noise())), ("a.cls", b"0")]))
    ingest([tmp_path / "x.tar"], tmp_path / "out", require_caption=False)
    tokenize_captions(read_manifest(tmp_path / "out"), Letters(), 3, tmp_path / "tokens")
    assert Tokens(tmp_path / "tokens").ids_CL.shape == (0, 3)
