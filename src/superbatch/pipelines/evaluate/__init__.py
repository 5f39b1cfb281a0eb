"""Stage `evaluate`: measures finished models on the test split."""
