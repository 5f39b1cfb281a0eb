"""Makes `tests` importable from its sub-folders (pytest puts the folder above it on the path)."""
