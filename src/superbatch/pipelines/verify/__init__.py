"""Stage `verify`: whether the shards still hold the images that were ingested."""
