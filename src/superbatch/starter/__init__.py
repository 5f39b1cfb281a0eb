"""`superbatch init`: a small project for one's own data, which needs nothing but the installed package."""

from superbatch.starter.making import make_project

__all__ = ["make_project"]
