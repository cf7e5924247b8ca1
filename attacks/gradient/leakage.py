"""Deep leakage: the picture whose gradient is the shared one, by L-BFGS on the distance."""

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.gradient.sharing import Gradient, Share, labels_by_sign, lenet, sharing
from attacks.gradient.trial import Found, choose_victims, recover_in_batches, score_recovery
from attacks.gradient.worlds import make_clear_target, make_noise_target
from attacks.learners.lbfgs import minimise
from auditor.plugins.declaring import Several, checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext, Target

UPDATES = 20
"""L-BFGS updates per iteration: the papers count calls of torch's optimizer, which makes 20."""
MATCHED = 1e-9
"""A picture is done when its gradient is this close, as a squared relative distance."""


@checked_dataclass
class Dlg:
    """Recovers a training picture and its label from the gradient that a client shares.

    Threat model: takes part in federated training (or listens in), so it has the network's
    weights and the gradient of a client's identity softmax for a single picture, without noise and
    unclipped; knows how many people there are; queries nothing. Where the client's pictures are
    protected by a known mechanism, has pictures of other people, whose protected forms teach how
    to undo it; else none. The network is the attack's, a small one at random weights, not the
    audited extractor: the figures say what sharing such gradients gives away of these people's
    pictures, under the protection that their pictures have.

    Source: DLG (Zhu et al., NeurIPS 2019) as set in PIS's gradient experiment: sigmoid activations,
    no strides, L-BFGS at learning rate 1.0, 200 iterations. Differences: the network is iDLG's
    LeNet and no re-identification backbone; every picture has an L-BFGS of its own, many run at
    once, a step that makes the match worse is shortened, and a picture is let go when it is matched
    or when its match stalls: where the softmax is sure of the person, the gradient has vanished.

    Attributes:
        images: attacked pictures, one per person.
        image_size: (height, width) of the pictures that clients train on.
        iterations: of 20 L-BFGS updates each, at most.
        lr: the first step length tried.
        history: pairs that L-BFGS remembers.
        restarts: starts per picture; the closest match counts.
        batch_size: pictures that are attacked at once.
        threshold_db: PSNR above which a picture counts as recovered.
    """

    images: Several = 32
    image_size: tuple[int, int] = (32, 32)
    iterations: PositiveInt = 200
    lr: float = 1.0
    history: PositiveInt = 100
    restarts: PositiveInt = 1
    batch_size: PositiveInt = 32
    threshold_db: float = 30.0

    family: ClassVar[str] = "gradient"
    adversary: ClassVar[Adversary] = threat_models.PARTICIPANT
    headline: ClassVar[str] = "recovered"
    name: ClassVar[str] = "dlg"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`; needs two people in the gallery."""
        victims = choose_victims(target, self.images, self.image_size, ctx, self.name)
        people = len(victims.pids)
        weights = ctx.generator("attacks.gradient.weights")
        share = sharing(lenet(self.image_size, people, weights).to(ctx.device))

        def recover(images: Tensor, labels: Tensor, generator: torch.Generator) -> Found:
            shared = share(images, F.one_hot(labels, people).float())
            return self._recover(share, shared, images.shape, generator)

        found = recover_in_batches(recover, victims, self.batch_size, ctx, self.name)
        return score_recovery(found, victims, self.threshold_db, target, ctx, self.name)

    def make_planted(self, target: Target, ctx: RunContext) -> Target:
        """Return the same people, their pictures without protection."""
        return make_clear_target(target)

    def make_null(self, target: Target, ctx: RunContext) -> Target:
        """Clients that train on noise, judged by the people's pictures."""
        return make_noise_target(target, ctx)

    def _recover(
        self, share: Share, shared: Gradient, shape: torch.Size, generator: torch.Generator
    ) -> Found:
        """Return the closest match of all starts to each of the shared gradients."""
        norms = shared.squared_norm()
        best = torch.full_like(norms, torch.inf)
        points = self._start(shared, shape, generator)
        for start in range(self.restarts):
            fresh = points if start == 0 else self._start(shared, shape, generator)
            rows = (best > MATCHED * norms).nonzero().flatten()
            tried, values = minimise(
                self._distance(share, shared.take(rows), shape[1:]),
                fresh[rows],
                updates=UPDATES * self.iterations,
                goal=MATCHED * norms[rows],
                lr=self.lr,
                history=self.history,
            )
            better = values < best[rows]
            points[rows[better]], best[rows[better]] = tried[better], values[better]
        pictures, labels = self._read(points, shared, shape)
        return Found(pictures, labels.argmax(1))

    def _distance(
        self, share: Share, shared: Gradient, picture: torch.Size
    ) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Square the distance from a point's gradient to the shared one, for `minimise`."""

        def objective(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            wanted = shared.take(rows)
            points = points.detach().requires_grad_(True)
            with torch.enable_grad():
                images, labels = self._read(points, wanted, torch.Size((len(rows), *picture)))
                distances = share(images, labels).squared_distance(wanted)
            (slope,) = torch.autograd.grad(distances.sum(), points)
            return distances.detach(), slope

        return objective

    def _start(self, shared: Gradient, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Return normal pixels and label logits ``(B, 3HW + K)``."""
        sizes = (shape[0], shape[1:].numel() + shared.residuals.shape[1])
        return torch.randn(sizes, generator=generator).to(shared.residuals.device)

    def _read(self, points: Tensor, shared: Gradient, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Return pictures ``(B, 3, H, W)`` and label distributions ``(B, K)`` at points."""
        pixels, logits = points.tensor_split([shape[1:].numel()], dim=1)
        return pixels.reshape(shape), logits.softmax(1)


@checked_dataclass
class Idlg(Dlg):
    """Recovers a training picture from the gradient that a client shares, its label by sign.

    Threat model: takes part in federated training (or listens in), so it has the network's
    weights and the gradient of a client's identity softmax for a single picture, without noise and
    unclipped; knows how many people there are; queries nothing. Where the client's pictures are
    protected by a known mechanism, has pictures of other people, whose protected forms teach how
    to undo it; else none. The network is the attack's, a small one at random weights, not the
    audited extractor: the figures say what sharing such gradients gives away of these people's
    pictures, under the protection that their pictures have.

    Source: iDLG (Zhao et al., arXiv:2001.02610, 2020) as set in PIS's gradient experiment; the
    label is the one negative entry of the head's bias gradient (the paper reads the weight's rows,
    whose sign is the same where inputs are positive). Differences as for `Dlg`.

    Attributes:
        images: attacked pictures, one per person.
        image_size: (height, width) of the pictures that clients train on.
        iterations: of 20 L-BFGS updates each, at most.
        lr: the first step length tried.
        history: pairs that L-BFGS remembers.
        restarts: starts per picture; the closest match counts.
        batch_size: pictures that are attacked at once.
        threshold_db: PSNR above which a picture counts as recovered.
    """

    name: ClassVar[str] = "idlg"

    def _start(self, shared: Gradient, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Return normal pixels ``(B, 3HW)``."""
        pixels = torch.randn((shape[0], shape[1:].numel()), generator=generator)
        return pixels.to(shared.residuals.device)

    def _read(self, points: Tensor, shared: Gradient, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Pictures ``(B, 3, H, W)`` and the one-hot labels ``(B, K)`` that the gradients show."""
        people = shared.residuals.shape[1]
        return points.reshape(shape), F.one_hot(labels_by_sign(shared), people).float()
