"""Training with differential privacy: the guarantee covers the people who were learned from."""

from defenses.dp_sgd.defense import DpSgd

__all__ = ["DpSgd"]
