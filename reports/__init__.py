"""Renderers: pure functions of the audit record; none imports torch."""
