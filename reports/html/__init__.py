"""The page."""

from reports.html.page import render

__all__ = ["render"]
