"""The page."""

from reports.html.page import page, render

__all__ = ["page", "render"]
