"""Data curation: checks before training, scores and decisions, clusters of captions, held-out pairs."""
