"""Can the model be copied by asking it? Students of a black box."""

from attacks.extraction.network import ModelExtractionNetwork
from attacks.extraction.student import ModelExtraction

__all__ = ["ModelExtraction", "ModelExtractionNetwork"]
