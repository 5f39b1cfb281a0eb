"""Stage `ingest`: checks and indexes shards, and validates the sets."""
