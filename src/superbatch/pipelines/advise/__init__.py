"""Stage `advise`: which preset to run on this pool, for this budget, and why."""
