"""Adversarial retraining as a plug-in; its own reverser is judged beside the audit's fresh ones."""

from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import PositiveInt

from attacks.inversion.networks import DoubledSize
from attacks.inversion.reconstruction import judge_reconstructions
from auditor.errors import UsageError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import Positive, Weight, checked_dataclass
from auditor.report import Finding
from auditor.training import train_reid
from auditor.training.learner import identity_dims
from auditor.types import Protection, RunContext, Target
from defenses.adversarial.game import ReversalGame, Reverser, Rules
from defenses.retrain import Retraining, Seen, retrainable


@checked_dataclass
class AdversarialRetraining(Retraining):
    """Retrains the extractor against a GAN that learns to reconstruct pictures from its features.

    Source: "Protecting Feature Privacy in Person Re-identification" (TPAMI 2025), of which the
    abstract alone is public: a re-ID loss against a GAN-based reversal module, two-step training
    and a lazy update. Networks, weights and periods are unpublished, so this is our reading: in
    step A the extractor is frozen, and reverser and critic are updated; in step B a slow copy of
    the reverser is frozen, and the extractor is updated on L_reID − λ · L_reverse, where L_reverse
    is the copy's reconstruction error; the copy is refreshed every ``period`` batches.

    That objective has no bound, and is met best by features that make the copy draw wrong pictures,
    for which they must hold the right one: it can raise what a fresh attacker reads. ``goal: mean``
    is ours: the copy shall draw the mean picture, whoever is shown, by L_reID + λ · L_mean.

    An extractor can win this game by moving its features where this one reverser is lost, while
    all they held is still there for another one. So the co-trained reverser's success, which is
    measured when training ends, is no evidence of privacy: it is recorded under ``co_trained``, to
    be read beside the audit's fresh attackers.

    Attributes:
        goal: what the copy's pictures are pushed to: ``wrong``, away from the true ones, as the
            abstract reads; or ``mean``, to the mean picture.
        strength: λ. With 0 the extractor is fine-tuned alone, and the reverser learns along.
        period: batches between two refreshes of the slow copy; until the first one the extractor
            trains undisturbed, so a training of fewer batches is refused.
        turns: updates of reverser and critic per batch.
        image_size: (height, width) of the reconstructions.
        width: channels of reverser and critic at full resolution.
        reverser_lr: of their Adam.
        pixel: weight of the L1 distance, for both sides.
        perceptual: weight of the perceptual distance, for both sides.
        matching: weight of the critic's feature matching, for the reverser.
        realness: weight of the critic's realness, for the reverser.
    """

    softmax: float = 1.0
    goal: Literal["wrong", "mean"] = "mean"
    strength: Weight = 1.0
    period: PositiveInt = 20
    turns: PositiveInt = 1
    image_size: DoubledSize = (64, 32)
    width: PositiveInt = 16
    reverser_lr: Positive = 1e-3
    pixel: Weight = 1.0
    perceptual: Weight = 1.0
    matching: Weight = 0.5
    realness: Weight = 0.02

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`.

        Raises:
            DataError: if fewer than two people can be shown.
            UsageError: if training ended before the extractor met its adversary.
        """
        extractor = retrainable(target)
        with ctx.randomness("defenses.adversarial"):
            dim = sum(identity_dims(extractor))
            game = ReversalGame(dim, extractor.card, self.rules, PerceptualDistance(ctx.weights))
        trained = train_reid(
            extractor,
            target.data.train,
            self.recipe,
            ctx,
            name="adversarial",
            terms={"reversal": game},
        )
        self._check_played(game)
        defended = replace(
            target, extractor=trained.extractor, notes=(*target.notes, self._objective)
        )
        clear = target.protection and Protection(originals=target.protection.originals)
        seen = Target(Seen(trained.extractor), target.data, protection=clear)
        found = _measure_co_trained(game.reverser.eval(), seen, target, ctx)
        return replace(defended, co_trained=(*target.co_trained, found))

    @property
    def rules(self) -> Rules:
        """Its own fields that the game is played by."""
        return Rules(**{field.name: getattr(self, field.name) for field in fields(Rules)})

    def _check_played(self, game: ReversalGame) -> None:
        """Refuse a training that was too short to be anything but plain fine-tuning."""
        if self.strength and not game.refreshes:
            raise UsageError(
                f"adversarial: training had {game.batches} batches and the extractor meets its "
                f"adversary after {self.period}, so nothing was defended; lower period, or allow "
                "more epochs or steps"
            )

    @property
    def _objective(self) -> str:
        if not self.strength:
            return "adversarial: strength 0, so the extractor was fine-tuned and not protected"
        if self.goal == "wrong":
            return (
                "adversarial: the extractor was rewarded for wrong reconstructions (goal: wrong), "
                "which can raise what a fresh attacker reads"
            )
        return "adversarial: the extractor was pulled towards the mean picture (goal: mean)"


def _measure_co_trained(reverser: Reverser, seen: Target, bare: Target, ctx: RunContext) -> Finding:
    """Measure what the discarded reverser makes of the features it was trained on."""
    distance = PerceptualDistance(ctx.weights).to(ctx.device)
    # what it draws shows real people, and nobody needs it
    with TemporaryDirectory() as workdir:
        judges = ctx.judges or {"target": bare.extractor}
        quiet = replace(ctx, workdir=Path(workdir), judges=judges)
        result = judge_reconstructions(reverser, 2, 0, seen, quiet, distance)
    return Finding(
        attack="co-trained reverser",
        plugin="adversarial",
        family="inversion",
        summary="The reverser that the extractor was trained against, as training left it.",
        status="done",
        measurements=result.measurements,
        notes=(
            "an extractor that wins against this one reverser need not win against a fresh one; "
            "judge by the fresh attackers",
            "tried on features before any release",
            *result.notes,
        ),
    )
