from __future__ import annotations

from pathlib import Path

import synthetic

from superbatch.reporting.runs import Run


def test_configuration_ignores_seed_threads_and_fingerprints(tmp_path: Path) -> None:
    one = Run(synthetic.write_run(tmp_path, "jest", 20, 0, model={"config": "tiny", "weights": "a" * 16}))
    two = Run(synthetic.write_run(tmp_path, "jest", 20, 1, model={"config": "tiny", "weights": "b" * 16}))
    other = Run(synthetic.write_run(tmp_path, "jest", 20, 2, model={"config": "small"}))
    assert one.configuration == two.configuration != other.configuration
