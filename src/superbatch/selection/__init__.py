"""Choose the sub-batch out of the super-batch, from embeddings alone: the core of JEST (needs only torch)."""

from superbatch.selection.arguments import chunk_sizes
from superbatch.selection.criteria import Criterion
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.given import scores_given
from superbatch.selection.independent import select_independently
from superbatch.selection.joint import select_jointly
from superbatch.selection.result import Selection
from superbatch.selection.right_pairs import WIDE, few_texts, gathered, lead, p_values, say_few_things, share_of_right
from superbatch.selection.samples import select_by_scores
from superbatch.selection.selector import JointSelector
from superbatch.selection.sharded import select_jointly_sharded

__all__ = [
    "WIDE",
    "Criterion",
    "JointSelector",
    "PairEmbeddings",
    "Selection",
    "chunk_sizes",
    "few_texts",
    "gathered",
    "lead",
    "p_values",
    "say_few_things",
    "scores_given",
    "select_by_scores",
    "select_independently",
    "select_jointly",
    "select_jointly_sharded",
    "share_of_right",
]
