"""What did they look like? Asked of stolen vectors alone, without the model that made them."""

from dataclasses import replace
from typing import ClassVar

from torch import Tensor, nn

from attacks import threat_models
from attacks.alignment.spaces import Aligner, Spaces, tell_network
from attacks.attribute.pooling import Whitening
from attacks.inversion.composite import Composite
from attacks.inversion.reconstruction import why_undrawn
from attacks.protocol.asking import worse_result
from attacks.protocol.own_network import own_network
from attacks.protocol.publication import held_pictures_shown
from auditor.embedding import embed, features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.plugins.declaring import checked_dataclass
from auditor.releasing import Written, as_is
from auditor.report import Adversary
from auditor.types import AttackResult, FeatureExtractor, RunContext, Split, Target


@checked_dataclass
class AlignedComposite(Aligner, Composite):
    """Assembles people's pictures from stolen vectors without the model that made them.

    Threat model: that of `alignment`: has the stored gallery without names, clean pictures of many
    people who are in it, and own pictures of other people; has another extractor, and may query the
    audited one for nothing. Knows how pictures are protected, and nothing of how vectors are
    released.

    Source: `alignment`, and then `composite`, for which the adversary's own network, turned into
    the stolen space, takes the place of the audited one.
    """

    adversary: ClassVar[Adversary] = threat_models.STRANGER

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        if reason := why_undrawn(target, ctx):
            raise UnsupportedTargetError(reason)
        network, called = own_network(self.own_model, target, ctx)
        judged = replace(ctx, judges=_judges(network, called, target, ctx))
        spaces = self.study(network, stored_gallery(target, ctx), target, ctx)
        results = {
            kind: self._assemble(network, spaces, split, target, judged)
            for kind, split in held_pictures_shown(target, ctx).items()
        }
        how = "the spaces were aligned by clean and by protected pictures"
        result = worse_result(results, how)
        return replace(result, notes=(*result.notes, tell_network(called)))

    def _assemble(
        self,
        network: FeatureExtractor,
        spaces: Spaces,
        held: Split,
        target: Target,
        ctx: RunContext,
    ) -> AttackResult:
        """Assemble pictures after an alignment by the pictures held."""
        known = self.known(spaces, features_of(network, held, ctx), held.pids)
        anchors = self.anchors(spaces, self.pairs, target, ctx)
        turn = self.turn(spaces, known, anchors, ctx)
        # whoever asks this target asks the own network, about vectors that were stolen
        aligned = replace(
            target,
            extractor=Turned(network, spaces.own.whiten, turn),
            release=Written(as_is, spaces.entries),
            claims=(),
        )
        own = replace(ctx, cache=ctx.cache.branch())
        own.cache.stored_gallery(aligned, lambda: spaces.entries)
        result = super().run(aligned, own)
        return replace(result, notes=(*result.notes, self.note(known, len(anchors))))


def _judges(
    network: FeatureExtractor, called: str, target: Target, ctx: RunContext
) -> dict[str, FeatureExtractor]:
    """Return who judges pictures, which is not the adversary's own network.

    Raises:
        UnsupportedTargetError: if that is the only one.
    """
    everybody = ctx.judges or {"target": target.extractor}
    judges = {name: judge for name, judge in everybody.items() if judge is not network}
    if not judges:
        raise UnsupportedTargetError(
            f"{called} is the adversary's own and the only judge; name another under judges"
        )
    return judges


class Turned(nn.Module):
    """An own network whose features are turned into a stolen space.

    Args:
        network: the adversary's own.
        whiten: its features to unit rows ``(B, E)``.
        turn: orthogonal ``(E, F)``.
    """

    differentiable = False

    def __init__(self, network: FeatureExtractor, whiten: Whitening, turn: Tensor) -> None:
        super().__init__()
        self.network, self.whiten, self.turn = network, whiten, turn
        self.feature_dim, self.input_size = turn.shape[1], network.input_size

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to unit rows ``(B, F)``."""
        rows: Tensor = self.whiten(embed(self.network, images).cpu()) @ self.turn
        return rows.to(images.device)
