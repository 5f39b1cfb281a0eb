"""The stages as Kedro pipelines: each folder has `pipeline.py` (wiring) and `nodes.py` (a few lines over the core rooms)."""
