"""Stage `search`: the pictures nearest to words, by the models of some runs beside each other."""
