"""Makes `tests` importable from its sub-folders (pytest puts the folder above it on the path), starts the servers that fork
commands, and puts long modules first.

A module's tests stay with one worker (`--dist loadscope`); one that takes a minute and comes last would let the other wait.
"""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

from tests.forked import start_servers

gc.disable()  # what is imported stays: looking for garbage among it takes a fifth of the time that collecting tests takes

settings.register_profile("superbatch", deadline=None)  # an example that waits for a busy machine has not failed
settings.load_profile("superbatch")

LONG = (
    "test_dvc_repro.py",  # makes the project that test_one_notion_of_done.py copies: not at the same time
    "test_quick_chain.py",
    "test_wrong_input.py",
    "test_compare.py",
    "test_one_notion_of_done.py",
    "test_resume.py",
    "test_scoring.py",
    "test_notebook.py",
    "test_kills.py",
    "test_ranks.py",
    "test_cli.py",
    "test_page.py",
    "test_caption_labels.py",
    "test_distribution.py",
    "test_flexi.py",
    "test_docs.py",
    "test_gradients.py",
    "test_floors.py",
)


def pytest_configure() -> None:
    start_servers()


def pytest_collection_finish() -> None:
    gc.freeze()  # nor is it looked at again, here or in forked ranks
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # or what is frozen outlives its library, which complains of leaks


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
