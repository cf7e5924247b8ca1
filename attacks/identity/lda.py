"""Who is this, in closed form: the rung below the trained identity classifiers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.identity.naming import Naming
from attacks.learners.people import PersonMeans, whitening_axes
from attacks.protocol.closed_set import score_naming, split_gallery
from attacks.protocol.publication import own_pictures
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class IdentityLda(Naming):
    """Names the person behind a stolen embedding by linear discriminant analysis.

    Threat model: has the stored gallery and knows the names behind part of each person's entries;
    has own pictures of other people, may query the extractor on those and knows how the gallery
    is protected and released; names the remaining entries. Closed set, as for `identity`.

    Source: people as Gaussian clouds of one shape (Fisher, 1936), their covariance shrunk towards a
    ball because there are few images per person. Differences: the spread within auxiliary people is
    pooled with that of the known entries, and a person's mean is compared by cosine where that
    spread is a ball (Dehak et al., IEEE TASLP 19(4), 2011), which forgives a change of camera. No
    training, so no hyper-parameter can hide a leak; under noise it is often the stronger rung.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
        shrinkage: weight of the ball in the covariance, in (0, 1).
    """

    shrinkage: float = 0.6

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        data = target.data
        stored, pids = stored_gallery(target, ctx), data.gallery.pids
        known, asked = split_gallery(data.gallery, self.split, self.train_share, ctx)
        own = own_pictures(target, ctx).features
        released = target.release(own, ctx.generator("attacks.identity_lda"))
        named = (stored[known], pids[known])
        axes = whitening_axes([named, (released, data.auxiliary.pids)], self.shrinkage)
        means = PersonMeans.of(*named, torch.float64)
        centre = means.rows.mean(0)
        clouds = F.normalize((means.rows - centre) @ axes)

        def score(rows: Tensor) -> Tensor:
            return F.normalize((stored[rows].double() - centre) @ axes) @ clouds.T

        return score_naming(score, asked, means.people, pids[asked], self.split)
