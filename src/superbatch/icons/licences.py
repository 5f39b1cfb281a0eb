"""Which licences let a drawing be changed and handed on with no more than its author's name beside it."""

from __future__ import annotations

# SPDX names. Left out: share-alike (CC-BY-SA), copyleft (GPL, MPL) and non-commercial (CC-BY-NC) licences, and whatever has no SPDX name.
PERMISSIVE = (
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "OFL-1.1",
    "Unlicense",
)


def is_permissive(spdx: str) -> bool:
    """Whether drawings under a licence may be rendered and handed on."""
    return spdx in PERMISSIVE
