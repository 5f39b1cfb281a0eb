"""Losses: CLIP's and SigLIP's as plain functions of embeddings, and the terms of a training loss (`terms`)."""

from superbatch.losses.contrastive import ContrastiveLoss, LossName, contrastive_loss
from superbatch.losses.distillation import Teaching, teaching_rows, teaching_term
from superbatch.losses.fitting import Fitted, fit_scale_and_bias, mean_loss
from superbatch.losses.images import key_rows, key_term, regression_rows, regression_term
from superbatch.losses.sigmoid import sigmoid_loss
from superbatch.losses.softmax import softmax_loss
from superbatch.losses.terms import Peers, contrastive_rows, contrastive_term, cross_entropy_term

__all__ = [
    "ContrastiveLoss",
    "Fitted",
    "LossName",
    "Peers",
    "Teaching",
    "contrastive_loss",
    "contrastive_rows",
    "contrastive_term",
    "cross_entropy_term",
    "fit_scale_and_bias",
    "key_rows",
    "key_term",
    "mean_loss",
    "regression_rows",
    "regression_term",
    "sigmoid_loss",
    "softmax_loss",
    "teaching_rows",
    "teaching_term",
]
