"""Data: ingestion of shards, the manifest, the order of rows, images, token ids and cached embeddings."""
