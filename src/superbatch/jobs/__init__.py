"""Parallel work over shards and blocks of rows with joblib's back ends: on this machine, or on a Ray or Dask cluster.

What a unit gave is kept in a file where the stage says so. A worker that dies costs its unit alone, and a second start does what is missing.
"""

from superbatch.jobs.units import run_units

__all__ = ["run_units"]
