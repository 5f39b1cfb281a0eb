"""What a set must be like before anything is trained on it, and clusters of its captions."""
