"""`superbatch doctor`: what this machine, this environment and this project lack, each with its remedy."""

from superbatch.doctor.examination import examine
from superbatch.doctor.finding import Finding

__all__ = ["Finding", "examine"]
