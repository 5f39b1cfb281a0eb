"""Choosing the sub-batch out of the super-batch: the heart of JEST, on embeddings alone (torch only)."""

from superbatch.selection.criteria import Criterion
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.independent import select_independently
from superbatch.selection.joint import chunk_sizes, select_jointly
from superbatch.selection.result import Selection

__all__ = ["Criterion", "PairEmbeddings", "Selection", "chunk_sizes", "select_independently", "select_jointly"]
