"""Stage `compare`: the grid of runs (method x filter ratio x steps x seed) that honest numbers come from."""
