"""Training of re-ID networks: targets to audit, and the extractors a defense retrains."""

from auditor.reid.recipe import Recipe
from auditor.reid.training import Trained, train_reid

__all__ = ["Recipe", "Trained", "train_reid"]
