"""Kedro's project settings: hooks, and how configuration folders are laid over each other."""

import os

from superbatch.hooks import ProjectHooks

# OpenMP threads that wait for each other without end make a tiny model ten times slower where others use the cores. Read when torch is
# loaded, which is later; after some ten microseconds in vain they sleep.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

HOOKS = (ProjectHooks(),)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment names only what differs: `learner.training.steps` of conf/quick leaves the rest of `learner` as it is.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
