"""The modern rung: the audited extractor's own gradient, matched in direction under a prior."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn
from torchmetrics.functional.image import total_variation

from attacks import threat_models
from attacks.gradient.sharing import Gradient, Share, labels_by_sign, sharing
from attacks.gradient.trial import Found, choose_victims, recover_in_batches, score_recovery
from attacks.gradient.worlds import DenseExtractor, make_clear_target, make_noise_target
from auditor.errors import UnsupportedTargetError
from auditor.models.isolation.network import WorkerNetwork
from auditor.models.programs import PROGRAMS
from auditor.plugins.declaring import Several, checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Target

DECAYS = (3 / 8, 5 / 8, 7 / 8)
"""After these shares of the iterations the step shrinks tenfold."""
TINY = 1e-16
"""The product of two squared norms below which gradients count as vanished."""


@checked_dataclass
class GradientInversion:
    """Recovers a training picture from the audited extractor's gradient for it.

    Threat model: takes part in federated training of the audited extractor (or listens in), so it
    has the extractor's weights and the gradient of a client's identity softmax for a single
    picture, over all trained parameters, without noise and unclipped; knows how many people there
    are; queries nothing. Where the client's pictures are protected by a known mechanism, has
    pictures of other people, whose protected forms teach how to undo it; else none.

    Source: Geiping et al., "Inverting Gradients" (NeurIPS 2020): cosine distance of gradients and
    total variation, Adam on the gradient's sign, step decay, restarts; the label is read as in
    iDLG. Differences: the softmax is a linear head with a bias at random weights, as before the
    first round; normalisation layers are in evaluation mode, so their batch statistics are not part
    of the problem, which favours the adversary; TV is per pixel; pixels stay in [0, 1].

    Attributes:
        images: attacked pictures, one per person.
        iterations: steps of Adam.
        lr: of Adam.
        tv: weight of the total variation.
        restarts: starts per picture; the closest match counts.
        batch_size: pictures that are attacked at once.
        threshold_db: PSNR above which a picture counts as recovered.
    """

    images: Several = 8
    iterations: PositiveInt = 100
    lr: float = 0.1
    tv: float = 0.01
    restarts: PositiveInt = 1
    batch_size: PositiveInt = 8
    threshold_db: float = 18.0

    family: ClassVar[str] = "gradient"
    adversary: ClassVar[Adversary] = threat_models.PARTICIPANT
    headline: ClassVar[str] = "recovered"
    name: ClassVar[str] = "gradient_inversion"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`; needs an extractor whose parameters can be reached."""
        extractor = trainable(target.extractor)
        victims = choose_victims(target, self.images, target.extractor.input_size, ctx, self.name)
        people = len(victims.pids)
        with ctx.randomness("attacks.gradient.head"):
            head = nn.Linear(target.extractor.feature_dim, people).to(ctx.device)
        share = sharing(nn.Sequential(extractor, head))

        def recover(images: Tensor, labels: Tensor, generator: torch.Generator) -> Found:
            shared = share(images, F.one_hot(labels, people).float())
            return self._recover(share, shared, images.shape, generator)

        found = recover_in_batches(recover, victims, self.batch_size, ctx, self.name)
        return score_recovery(found, victims, self.threshold_db, target, ctx, self.name)

    def make_planted(self, target: Target, ctx: RunContext) -> Target:
        """Return a dense extractor: its first layer's gradient is the picture times a number."""
        return make_clear_target(target, DenseExtractor().to(ctx.device))

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """Return the same dense extractor trained on noise, judged by the people's pictures."""
        return make_noise_target(target, ctx, DenseExtractor().to(ctx.device))

    def _recover(
        self, share: Share, shared: Gradient, shape: torch.Size, generator: torch.Generator
    ) -> Found:
        """Return the closest match of all starts to each of the shared gradients."""
        labels = labels_by_sign(shared)
        truth = F.one_hot(labels, shared.residuals.shape[1]).float()
        best = torch.full((len(truth),), torch.inf, device=truth.device)
        pictures = torch.zeros(shape, device=truth.device)
        for _ in range(self.restarts):
            start = torch.rand(shape, generator=generator).to(truth.device)
            tried, values = self._descend(share, shared, truth, start)
            better = values < best
            pictures[better], best[better] = tried[better], values[better]
        return Found(pictures, labels)

    def _descend(
        self, share: Share, shared: Gradient, labels: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return pictures ``(B, 3, H, W)`` after Adam, and their last cosine distances ``(B,)``."""
        pictures = start.requires_grad_(True)
        adam = torch.optim.Adam([pictures], lr=self.lr)
        decays = [int(after * self.iterations) for after in DECAYS]
        schedule = torch.optim.lr_scheduler.MultiStepLR(adam, decays, gamma=0.1)
        distances = torch.empty(len(start))
        for _ in range(self.iterations):
            with torch.enable_grad():
                gradient = share(pictures, labels)
                distances = cosine_distance(gradient, shared)
                loss = distances.sum() + self.tv * total_variation(pictures) / pictures[0].numel()
            (slope,) = torch.autograd.grad(loss, pictures)
            pictures.grad = slope.sign()
            adam.step()
            schedule.step()
            pictures.detach().clamp_(0, 1)
        return pictures.detach(), distances.detach()


def trainable(extractor: FeatureExtractor) -> nn.Module:
    """Return the extractor as a module whose parameters have gradients of their own.

    Raises:
        UnsupportedTargetError: if it is a black box, a TorchScript program, or all frozen.
    """
    way_out = "give its weights as a state dict with an architecture (--arch)"
    if not isinstance(extractor, nn.Module) or not getattr(extractor, "differentiable", True):
        raise UnsupportedTargetError(f"the extractor is a black box without gradients; {way_out}")
    modules = list(extractor.modules())
    if any(isinstance(module, WorkerNetwork) for module in modules):
        raise UnsupportedTargetError(
            "the extractor runs in a worker, which gives gradients of images and neither those of "
            f"weights nor second ones; {way_out}"
        )
    if any(isinstance(module, PROGRAMS) for module in modules):
        raise UnsupportedTargetError(
            "the extractor is a finished program, whose gradients per picture are out of reach; "
            f"{way_out}"
        )
    if not any(parameter.requires_grad for parameter in extractor.parameters()):
        raise UnsupportedTargetError(
            f"the extractor has no trainable parameters, so no gradient is shared; {way_out}"
        )
    return extractor


def cosine_distance(gradient: Gradient, shared: Gradient) -> Tensor:
    """One minus the cosine ``(B,)`` of each picture's two gradients, all parameters as one."""
    norms = gradient.squared_norm() * shared.squared_norm()
    return 1 - gradient.dot(shared) / norms.clamp_min(TINY).sqrt()
