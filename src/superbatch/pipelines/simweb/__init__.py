"""Stage `simweb`: renders the embedded default data."""
