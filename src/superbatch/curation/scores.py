"""The table of scores that the stage `curate` writes: a row a row of the pool, a column a score."""

from __future__ import annotations

import pyarrow as pa

SCORES = "curation.parquet"
MANIFEST_KEY = b"superbatch.manifest"  # in the metadata of scores and decisions: the pool's fingerprint

SCORES_SCHEMA = pa.schema(
    [
        pa.field("reference_cosine", pa.float32()),  # of image and first caption
        pa.field("characters", pa.int32()),  # of the first caption, as the next five
        pa.field("words", pa.int32()),
        pa.field("script", pa.string()),
        pa.field("script_share", pa.float32()),
        pa.field("repetition", pa.float32()),
        pa.field("caption_rows", pa.int32()),
        pa.field("shorter_side", pa.int32()),
        pa.field("aspect_ratio", pa.float32()),
        pa.field("flatness", pa.float32()),
        pa.field("hash", pa.uint64()),
        pa.field("same_file", pa.int64()),  # the first row of the group, as the next two
        pa.field("same_hash", pa.int64()),
        pa.field("same_embedding", pa.int64()),
        pa.field("neighbour_cosine", pa.float32()),
        pa.field("text_cluster", pa.int32()),
        pa.field("text_cluster_rows", pa.int32()),
        pa.field("evaluation_file", pa.int8()),  # the nearest evaluation image, as the next two
        pa.field("evaluation_bits", pa.uint8()),
        pa.field("evaluation_cosine", pa.float32()),
        pa.field("draw", pa.float32()),
    ]
)
