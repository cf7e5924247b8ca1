"""Was this person trained on? Four ways to ask a model about its training set."""

from attacks.membership.augmentation import MembershipAugmentation
from attacks.membership.compactness import MembershipCompactness
from attacks.membership.lira import MembershipLira
from attacks.membership.similarity import MembershipSimilarity

__all__ = [
    "MembershipAugmentation",
    "MembershipCompactness",
    "MembershipLira",
    "MembershipSimilarity",
]
