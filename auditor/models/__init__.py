"""Model intake: what a file is, whether it may be opened, and the extractor inside it."""

from auditor.models.loaders import LoadedModel, open_model

__all__ = ["LoadedModel", "open_model"]
