"""The rung of the prior for a black box: the descent goes through a copy of it."""

from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from attacks import threat_models
from attacks.extraction.borrowed import BorrowedGradient
from attacks.extraction.network import ModelExtractionNetwork
from attacks.extraction.queries import LEAST
from attacks.inversion.latent_descent import LatentDescent
from attacks.inversion.prior_inversion import PriorInversion
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target


@checked_dataclass
class CopiedDescent(LatentDescent):
    """Moves a learnt prior's best sample by the gradient of a copy of the black box.

    Threat model: has the stored gallery, own pictures of other people, and a generator that was
    trained once; may query the extractor, without gradients, on own pictures, on changed copies of
    them, and on some samples and each step per entry; knows how the gallery is protected and
    released. Where a service's query budget is smaller, the copy learns from fewer answers.

    Source: `latent_descent`, through the student of `model_extraction_network`: a differentiable
    stand-in on the way back alone (BPDA, Athalye et al., ICML 2018). How far a picture is from the
    stolen entry is asked of the black box.

    Attributes:
        queries: pictures that may be sent for the copy.
        copy_epochs: passes of the copy's training over the answers.
        copy_steps: of that training, at least.
    """

    queries: Annotated[int, Field(ge=LEAST)] = 10_000
    copy_epochs: PositiveInt = 4
    copy_steps: PositiveInt = 100

    adversary: ClassVar[Adversary] = threat_models.DECODER

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`; the extractor needs no gradients."""
        return PriorInversion.run(self, target, ctx)

    def _descended(self, target: Target, ctx: RunContext) -> FeatureExtractor:
        """Return the black box with the gradient of a copy."""
        copyist = ModelExtractionNetwork(
            queries=self.queries, epochs=self.copy_epochs, steps=self.copy_steps
        )
        return BorrowedGradient(target.extractor, copyist.copy(target, ctx))
