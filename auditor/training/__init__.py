"""Training: the one loop of every adversary and defense, and re-ID networks by their own recipe."""

from auditor.training.loop import Batches, fit, one_cycle
from auditor.training.recipe import Recipe
from auditor.training.reid import Trained, train_reid

__all__ = ["Batches", "Recipe", "Trained", "fit", "one_cycle", "train_reid"]
