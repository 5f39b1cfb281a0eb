"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "missing", "off"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        status: ok; warning: it works, but badly; missing: something needed isn't there; off: something optional isn't.
        found: what is there.
        remedy: what to do about it; empty where all is well.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""

    def line(self) -> str:
        """Return it as a line of the console."""
        return f"{self.status:8} {self.check:12} {self.found}" + (f"; {self.remedy}" if self.remedy else "")
