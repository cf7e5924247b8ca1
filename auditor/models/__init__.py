"""Model intake: what a file is, whether it may be opened, and the extractor inside it.

The names below are imported when first asked for: a worker needs this package without them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.models.loaders import LoadedModel, open_model

__all__ = ["LoadedModel", "open_model"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    from auditor.models import loaders

    return getattr(loaders, name)
