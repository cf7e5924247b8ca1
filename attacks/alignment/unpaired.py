"""Is this person in there? Asked of stolen vectors alone, without the model that made them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor

from attacks import threat_models
from attacks.alignment.attributes import read_aligned
from attacks.alignment.spaces import Aligner, Spaces, tell_network
from attacks.attribute.labels import MEASURABLE
from attacks.protocol.asking import worse_result
from attacks.protocol.matching import score_search
from attacks.protocol.own_network import own_network
from attacks.protocol.publication import held_pictures_shown
from attacks.protocol.reference import find_people
from auditor.certification.planting import Planted
from auditor.embedding import features_of, stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary, Curve, Measurement, pluralize
from auditor.types import AttackResult, RunContext, Target

NAME = "aligned"


@checked_dataclass
class Alignment(Aligner):
    """Finds people in stolen vectors without the model, by aligning them with an own network's.

    Threat model: has the stored gallery without names, clean pictures of many people who are in it,
    and own pictures of other people; has another extractor, and may query the audited one for
    nothing: not a single vector is known to belong to a picture. Knows how pictures are protected,
    and nothing of how vectors are released.

    Source: correspondence by Gromov–Wasserstein transport (Alvarez-Melis & Jaakkola, EMNLP 2018),
    refined by Procrustes on mutual nearest neighbours (Conneau et al., ICLR 2018). The question is
    that of vec2vec (arXiv 2505.12540), which trains networks on millions of vectors; a gallery has
    thousands, so people are matched instead: those whose pictures are held with groups of vectors
    that seem to be of one person. A search for the pictures held through the alignment is the
    figure, and attributes are read through it by labels of own pictures.

    Attributes:
        curve: numbers of known pairs for which the search is repeated.
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    curve: tuple[PositiveInt, ...] = (5, 20, 50, 100, 500)
    min_people: PositiveInt = MEASURABLE

    family: ClassVar[str] = "alignment"
    adversary: ClassVar[Adversary] = threat_models.STRANGER
    headline: ClassVar[str] = f"{NAME}_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        stored = stored_gallery(target, ctx)
        network, called = own_network(self.own_model, target, ctx)
        spaces = self.study(network, stored, target, ctx)
        results = {
            kind: self._search(spaces, features_of(network, split, ctx), target, ctx)
            for kind, split in held_pictures_shown(target, ctx).items()
        }
        results = {
            kind: replace(r, notes=(*r.notes, tell_network(called))) for kind, r in results.items()
        }
        return worse_result(results, "people were looked for by clean and by protected pictures")

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the search by pictures whose vectors' moments are known."""
        return find_people(planted, ctx, NAME)

    def _search(
        self, spaces: Spaces, held: Tensor, target: Target, ctx: RunContext
    ) -> AttackResult:
        """Search with features ``(Q, D)`` of pictures held, by the own network."""
        data, whiten = target.data, spaces.own.whiten
        known = self.known(spaces, held, data.query.pids)
        counts = sorted({count for count in self.curve if count <= len(spaces.learned)})
        anchors = self.anchors(spaces, max(self.pairs, *counts, 0), target, ctx)

        def find(turn: Tensor) -> tuple[Measurement, Measurement]:
            return score_search(NAME, whiten(held) @ turn, spaces.entries, data)

        turn = self.turn(spaces, known, anchors.first(self.pairs), ctx)
        read = read_aligned(
            f"{NAME}_attributes",
            spaces.learned @ turn,
            spaces.entries,
            data,
            self.min_people,
            ctx,
        )
        points = []
        for done, count in enumerate(counts):
            ctx.progress(done / len(counts), "aligning by known pairs")
            points.append((count, find(self.turn(spaces, known, anchors.first(count), ctx))[0]))
        curves = (_curve(points),) if points else ()
        notes = [self.note(known, len(anchors.first(self.pairs)))]
        if left_out := sorted(set(self.curve) - set(counts)):
            notes.append(
                f"no search with {', '.join(map(str, left_out))} known pairs: there are "
                f"{pluralize(len(spaces.learned), 'own picture')}"
            )
        return AttackResult((*find(turn), *read), notes=tuple(notes), curves=curves)


def _curve(points: Sequence[tuple[int, Measurement]]) -> Curve:
    return Curve(
        name="pairs",
        metric=f"{NAME}_rank1",
        x="known pairs",
        points=tuple(found.at(count) for count, found in points),
        log_x=True,
    )
