"""What a set must be like before anything is trained on it, clusters of its captions, and which of its pairs are held out."""
