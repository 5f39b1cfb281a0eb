"""Stage `audit`: what a run made of every row of the pool, and an export of the rows worth it."""
