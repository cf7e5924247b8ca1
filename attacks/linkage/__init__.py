"""Is this the same person? Attacks that link two releases."""

from attacks.linkage.cosine import Linkage
from attacks.linkage.metric import LinkageMetric
from attacks.linkage.plda import LinkagePlda

__all__ = ["Linkage", "LinkageMetric", "LinkagePlda"]
