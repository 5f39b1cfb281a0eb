"""Stage `references`: further references beside the first, such as a larger one, each with its check and its features."""
