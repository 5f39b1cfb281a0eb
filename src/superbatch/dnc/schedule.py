"""The experts' schedule: steps in proportion to clusters, so that all experts together cost what was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def expert_steps(sizes: Sequence[int], steps: int) -> list[int]:
    """Deal steps to experts in proportion to their clusters, by largest remainders; each has one at least.

    Args:
        sizes: rows of each cluster, all above 0.
        steps: of all experts together; where there are fewer than experts, each has one.

    Returns:
        The steps of each expert. They add up to `steps`, but for those that were raised to one.
    """
    exact = np.asarray(sizes, float) * steps / sum(sizes)
    found = np.floor(exact).astype(int)
    left = np.argsort(found - exact, kind="stable")[: steps - int(found.sum())]
    found[left] += 1
    return [max(1, int(one)) for one in found]
