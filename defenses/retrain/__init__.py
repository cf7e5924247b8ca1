"""Retraining: the network learns to work with protected pictures, or is taught to hide."""

from defenses.retrain.base import Retraining, Seen, retrainable, seen
from defenses.retrain.defense import Retrain

__all__ = ["Retrain", "Retraining", "Seen", "retrainable", "seen"]
