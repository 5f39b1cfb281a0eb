"""Stage `reference`: trains the reference on the curated set, or imports one."""
