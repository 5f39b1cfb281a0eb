"""The reference check: how well a model tells true pairs from exchanged ones, and whether to choose batches by it."""
