"""Features that came alone: stored rows in the place of pictures and a model."""

from auditor.data.features.dataset import Store, open_features
from auditor.data.features.rows import FeatureRows, StoredFeatures

__all__ = ["FeatureRows", "Store", "StoredFeatures", "open_features"]
