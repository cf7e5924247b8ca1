"""Who is it? Attacks that name the people of a stored gallery."""

from attacks.identity.classifier import IdentityClassifier
from attacks.identity.lda import IdentityLda
from attacks.identity.metric import IdentityMetric
from attacks.identity.plda import IdentityPlda
from attacks.identity.probes import IdentityLinear, IdentityMlp
from attacks.identity.retrieval import IdentityRetrieval
from attacks.identity.transductive import IdentityTransductive

__all__ = [
    "IdentityClassifier",
    "IdentityLda",
    "IdentityLinear",
    "IdentityMetric",
    "IdentityMlp",
    "IdentityPlda",
    "IdentityRetrieval",
    "IdentityTransductive",
]
