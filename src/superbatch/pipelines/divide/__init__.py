"""Stage `divide`: divides the pool by a base's representations, trains an expert on each cluster, and a student that learns from all of them."""
