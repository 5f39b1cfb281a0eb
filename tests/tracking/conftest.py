"""The tiny training job, and a tracker that only remembers."""

from __future__ import annotations

from tests.training.conftest import make_job, model_file  # noqa: F401  # fixtures
