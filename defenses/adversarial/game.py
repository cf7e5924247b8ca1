"""The game between the extractor and a GAN that draws pictures from its features.

Two adversarial objectives meet here: reverser against critic, and extractor against reverser. Each
batch is played in two steps. A: the features are taken as they are, and reverser and critic are
updated on them. B: a slow copy of the reverser is taken as it is, and the extractor is updated so
that the copy's pictures go wrong, or tell nothing. The copy is refreshed only every so many
batches, so that the extractor does not chase an adversary that moves as fast as itself.

Pictures go wrong the most if they are of somebody else or in the complement's colours, and to have
such ones drawn a feature must hold as much of the picture as before, if not more. The picture that
tells nothing is the mean of all: whoever has it drawn for everybody has nothing left in the feature
that this reverser can read.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.inversion.losses import feature_matching, hinge_critic
from attacks.inversion.networks import Critic, Inverter
from auditor.metrics.perceptual import PerceptualDistance
from auditor.models.architectures.branches import Branches
from auditor.models.card import Card
from defenses.retrain import seen

GUESS = (16, 8)
"""(height, width) of the learned linear guess that the inverter refines."""


class Reverser(nn.Module):
    """Features ``(B, D)`` to pictures ``(B, 3, H, W)`` in [0, 1].

    The inverter of the fresh attack, with two parts that must learn along because the features
    move: their mean and deviation, and the linear guess.
    """

    def __init__(self, dim: int, size: tuple[int, int], width: int) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm1d(dim, affine=False)
        self.inverter = Inverter(dim, size, width, _LinearGuess(dim, size))

    def forward(self, features: Tensor) -> Tensor:
        """Return the pictures."""
        pictures: Tensor = self.inverter(self.standardise(features))
        return pictures


class _LinearGuess(nn.Module):
    """Starts at plain grey."""

    def __init__(self, dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.paint = nn.Linear(dim, 3 * GUESS[0] * GUESS[1])
        nn.init.zeros_(self.paint.weight)
        nn.init.constant_(self.paint.bias, 0.5)

    def forward(self, features: Tensor) -> Tensor:
        small = self.paint(features).unflatten(1, (3, *GUESS))
        return F.interpolate(small, self.size, mode="bilinear")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the game is played by; `AdversarialRetraining` says what each field is."""

    goal: Literal["wrong", "mean"]
    strength: float
    period: int
    turns: int
    image_size: tuple[int, int]
    width: int
    reverser_lr: float
    pixel: float
    perceptual: float
    matching: float
    realness: float


class ReversalGame(nn.Module):
    """Plays step A, then gives the extractor its loss of step B: a `auditor.training.learner.Term`.

    Args:
        dim: length of the feature.
        card: how the extractor answers.
        rules: of the game.
        distance: the perceptual distance.

    Attributes:
        reverser: always up to date.
        slow: the copy that the extractor plays against; nothing before the first refresh.
        mean: of all pictures so far ``(3, H, W)``: what is drawn where nothing is known.
        batches: played so far.
        refreshes: of the slow copy so far.
    """

    mean: Tensor

    def __init__(self, dim: int, card: Card, rules: Rules, distance: PerceptualDistance) -> None:
        super().__init__()
        self.card, self.rules, self.distance = card, rules, distance
        self.reverser = Reverser(dim, rules.image_size, rules.width)
        self.critic = Critic(dim, rules.image_size, rules.width)
        self.slow = deepcopy(self.reverser).requires_grad_(False).eval()
        self.register_buffer("mean", torch.full((3, *rules.image_size), 0.5))
        self.batches = self.refreshes = 0
        self.optimizers: Sequence[torch.optim.Optimizer] = ()

    def train(self, mode: bool = True) -> Self:
        """Return the copy and the distance stay in evaluation mode."""
        super().train(mode)
        self.slow.eval()
        self.distance.eval()
        return self

    def forward(self, views: Branches, images: Tensor, classes: Tensor) -> Tensor:
        """λ times how far the goal is; 0 until there is a copy worth playing against."""
        with torch.autocast(images.device.type, enabled=False):
            features = seen(views, self.card)
            wanted = F.interpolate(
                images.float(), self.rules.image_size, mode="bilinear", antialias=True
            )
            for _ in range(self.rules.turns):
                self._update_reverser(features.detach(), wanted)
            self.batches += 1
            self.mean.lerp_(wanted.mean(0), 1 / self.batches)
            if self.batches % self.rules.period == 0:
                self.slow.load_state_dict(self.reverser.state_dict())
                self.refreshes += 1
            if not self.refreshes or self.rules.strength == 0:
                return features.new_zeros(())
            return self.rules.strength * self._from_goal(self.slow(features), wanted)

    def _from_goal(self, drawn: Tensor, wanted: Tensor) -> Tensor:
        """Return the loss that the extractor minimises, on pictures that the slow copy made."""
        if self.rules.goal == "wrong":
            return -self.error(drawn, wanted)
        return self.error(drawn, self.mean.expand_as(drawn))

    def error(self, drawn: Tensor, wanted: Tensor) -> Tensor:
        """How far pictures ``(B, 3, H, W)`` are from those wanted: L1 and perceptual distance."""
        pixels = F.l1_loss(drawn, wanted)
        perceived = self.distance(drawn, wanted).mean()
        total: Tensor = self.rules.pixel * pixels + self.rules.perceptual * perceived
        return total

    def _update_reverser(self, features: Tensor, wanted: Tensor) -> None:
        if not self.optimizers:  # only now are the networks where they will be trained
            self.optimizers = [
                torch.optim.Adam(network.parameters(), self.rules.reverser_lr, (0.5, 0.99))
                for network in (self.reverser, self.critic)
            ]
        paint, judge = self.optimizers
        # the critic is told which feature is meant on the scale the reverser sees it
        drawn = self.reverser(features)
        condition = F.batch_norm(features, None, None, training=True)
        realness, _, wanted_activations = self.critic(wanted, condition)
        fakeness, _, _ = self.critic(drawn.detach(), condition)
        _step(judge, hinge_critic(realness, fakeness))
        self.critic.requires_grad_(False)
        realness, _, activations = self.critic(drawn, condition)
        matched = feature_matching(wanted_activations, activations)
        fooled = self.rules.matching * matched - self.rules.realness * realness.mean()
        _step(paint, self.error(drawn, wanted) + fooled)
        self.critic.requires_grad_(True)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One update that leaves no gradient behind for the extractor's optimizer to find."""
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
