"""Is the person I have a picture of in there? Retrieval of mixed identities."""

from typing import ClassVar

import torch

from attacks import threat_models
from attacks.protocol.matching import Blind, rate_search, search, worse_of_each
from attacks.protocol.publication import held_pictures
from attacks.protocol.reference import find_people
from auditor.certification.planting import Planted
from auditor.embedding import stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.metrics.retrieval import Retrieval
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary, Measurement
from auditor.types import AttackResult, ReIDDataset, RunContext, Target


@checked_dataclass
class IdentityRetrieval:
    """Finds a person in a protected gallery by an original picture of them.

    Threat model: has an original picture of the person they look for, the query, and the stored
    gallery of the protected pictures; knows the mechanism that protected them, not its key; may
    query the extractor on the picture as it is, and on the picture protected under a key of their
    own: whichever finds more counts. Has nothing to learn from and undoes nothing, but ranks the
    gallery by cosine. Where a protection mixes two people into one picture, finding either of them
    counts.

    Source: the identity attack of PIS (SCIS 69(1), 2026, §4.1), rank-1 and mAP. Differences: the
    audited extractor ranks, not one of the adversary's own, and the gallery is judged instead of
    the training pictures. The paper does not say what becomes of the query's own camera: entries of
    the query's person from that camera are set aside as in all re-identification here, entries in
    which the person is the partner are not, because their camera saw somebody else.
    """

    family: ClassVar[str] = "identity"
    adversary: ClassVar[Adversary] = threat_models.SEEKER
    headline: ClassVar[str] = "retrieved_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        data, partners = target.data, target.data.gallery.partners
        either = Blind.of(data, partners)
        if not either.matches.any():
            raise UnsupportedTargetError(
                "no query shows anybody who is in the gallery once its own camera is set aside; "
                "set data.cross_camera: false, or give queries of gallery people"
            )
        held, stored = held_pictures(target, ctx), stored_gallery(target, ctx)
        found = {kind: search(query, stored, data, partners) for kind, query in held.items()}
        measurements = worse_of_each(
            {kind: rate_search("retrieved", one, data, partners) for kind, one in found.items()}
        )
        if partners is None or not (partners > 0).any():
            note = (
                "nobody is mixed into the gallery's pictures: these are the figures of plain "
                "re-identification against the stored gallery"
            )
            return AttackResult(measurements, notes=(note,))
        note = (
            "an entry counts as found for the person it was made of and for the person mixed into "
            "it; own_rank1 and partner_rank1 add up to the whole where every query has entries of "
            "both kinds and one way of asking is the worse one for each"
        )
        own = Blind.of(data)
        parts = {}
        for kind, query in held.items():
            alone = search(query, stored, data) if own.matches.any() else None
            parts[kind] = _parts(found[kind], alone, either, own, data)
        return AttackResult((*measurements, *worse_of_each(parts)), notes=(note,))

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Compare clean query and entries by the cosine that is best with known moments."""
        return find_people(planted, ctx, "retrieved")


def _parts(
    found: Retrieval, alone: Retrieval | None, either: Blind, own: Blind, data: ReIDDataset
) -> list[Measurement]:
    """How often the first entry shows the query's person as itself, and how often as the partner.

    Each over the queries that have such an entry. One entry comes first, and it is a match of one
    kind or of the other: what is not its own is the partner's, also on average over equal scores.
    """
    hits = torch.zeros(2, len(data.query), dtype=torch.float64)
    hits[1][found.query_index] = found.hit(1)
    if alone is not None:
        hits[0][alone.query_index] = alone.hit(1)
        hits[1] = (hits[1] - hits[0]).clamp(0, 1)
    kinds = (
        ("own_rank1", hits[0], own.matches),
        ("partner_rank1", hits[1], either.matches - own.matches),
    )
    return [
        measure.rate(
            name,
            hit[matches > 0],
            data.query.pids[matches > 0],
            chance=float((matches / own.candidates)[matches > 0].mean()),
        )
        for name, hit, matches in kinds
        if matches.any()
    ]
