"""Retraining against a reverser that is retrained at the same time."""

from defenses.adversarial.defense import AdversarialRetraining

__all__ = ["AdversarialRetraining"]
