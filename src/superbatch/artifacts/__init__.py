"""What a stage leaves: directories with a stamp of what they were made from. The one notion of "done"."""
