"""Stage `icons`: renders the real pool."""
