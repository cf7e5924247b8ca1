"""Readers of re-ID datasets, and the drawn people of the demo."""
