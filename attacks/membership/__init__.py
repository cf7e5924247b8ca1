"""Was this person's face to the camera used in training? Attacks on the training set."""

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
