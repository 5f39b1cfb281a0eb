"""Stage `bootstrap`: the reference enlarges the curated set, and a second one is trained on it (JEST++)."""
