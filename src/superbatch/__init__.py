"""Superbatch: train CLIP and SigLIP models on the batches worth learning from."""

__version__ = "0.1.0"
