"""How well a model tells true pairs from exchanged ones, and what follows from it for choosing batches: the reference check."""
