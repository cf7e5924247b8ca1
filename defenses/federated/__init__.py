"""Federated averaging: training people stay where they were filmed, their weights travel."""

from defenses.federated.defense import Federated

__all__ = ["Federated"]
