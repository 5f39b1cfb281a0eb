"""Evaluation: zero-shot classification and image-text retrieval, as numbers during training and as JSON at the end."""

from superbatch.evaluation.results import evaluate_to_files
from superbatch.evaluation.retrieval import retrieval
from superbatch.evaluation.run import Evaluator
from superbatch.evaluation.sets import EvaluationSet, load_evaluation_set, split_shards
from superbatch.evaluation.store import ingest_evaluation_sets, load_evaluation_sets
from superbatch.evaluation.zero_shot import class_weights, zero_shot_classification

__all__ = [
    "EvaluationSet",
    "Evaluator",
    "class_weights",
    "evaluate_to_files",
    "ingest_evaluation_sets",
    "load_evaluation_set",
    "load_evaluation_sets",
    "retrieval",
    "split_shards",
    "zero_shot_classification",
]
