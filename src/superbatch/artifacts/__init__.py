"""Finished directories, each with a stamp of what it was made from: the only definition of "done"."""
