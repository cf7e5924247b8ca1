"""Measures what a person re-identification model gives away about the people in its gallery.

This package imports no torch on its own, so that judging and rendering a saved report stays
instant; `auditor.types` is where tensors begin.
"""

__version__ = "0.1.0"
