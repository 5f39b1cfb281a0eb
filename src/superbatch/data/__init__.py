"""Shards in, rows out: ingestion, the manifest, the order, images, token ids and cached embeddings."""
