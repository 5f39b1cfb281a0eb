"""Work over shards and blocks of rows, by joblib's back ends: on this machine, or on a cluster of Ray or Dask.

What a unit gave is kept in a file where the stage says so. A worker that dies costs its unit alone, and a second start does what is missing.
"""

from superbatch.jobs.units import run_units

__all__ = ["run_units"]
