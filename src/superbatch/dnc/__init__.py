"""Divide and Contrast: the pool's division into clusters, the experts' schedule, and the student that learns from base and experts (docs/dnc.md)."""
