"""What attacks share that name people by their known entries."""

from typing import ClassVar

from attacks import threat_models
from attacks.protocol.closed_set import Sides, score_names, split_gallery
from auditor.certification.planting import Planted
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext


@checked_dataclass
class Naming:
    """Which entries' names are known, and who could name the others best.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
    """

    train_share: float = 0.5
    split: Sides = "image"

    family: ClassVar[str] = "identity"
    adversary: ClassVar[Adversary] = threat_models.INFORMED_INSIDER
    headline: ClassVar[str] = "top1"

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the Bayes classifier of the two-covariance model."""
        target = planted.target
        stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
        known, asked = split_gallery(target.data.gallery, self.split, self.train_share, ctx)
        people, labels = pids[known].unique(return_inverse=True)
        scores = planted.truth(ctx).naming(stored[known], labels, stored[asked])
        return score_names(scores, people, pids[asked], self.split)
