"""Stage `embed`: the reference's embeddings, token ids and packed pixels, once a set."""
