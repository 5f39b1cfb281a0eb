"""Stage `audit`: how often a run saw and chose every row of the pool, and an export of the rows worth training on."""
