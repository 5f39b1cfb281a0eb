"""Stage `curate`: scores of the pool's rows, and decisions which of them stay."""
