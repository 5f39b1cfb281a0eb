"""What a set must be like before anything is trained on it."""
