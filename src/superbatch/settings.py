"""Kedro's project settings: hooks, and how configuration folders are laid over each other."""

from superbatch.hooks import ProjectHooks

HOOKS = (ProjectHooks(),)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment names only what differs: `learner.training.steps` of conf/quick leaves the rest of `learner` as it is.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
