"""Can the model be copied by asking it? A student of a black box."""

from attacks.extraction.student import ModelExtraction

__all__ = ["ModelExtraction"]
