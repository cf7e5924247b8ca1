"""Is the person I have a picture of in there at all? Open-set search with a threshold."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import threat_models
from attacks.adaptive.averaging import study_release
from attacks.learners.gaussian import fit_matcher
from attacks.protocol.asking import worse_result
from attacks.protocol.publication import held_pictures, own_pictures
from auditor.certification.planting import AMPLITUDE, CELLS, Planted
from auditor.embedding import stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure, open_set
from auditor.metrics.open_set import Searches, search_list
from auditor.metrics.similarity import Scores, Truth
from auditor.plugins.declaring import Probability, Several, checked_dataclass
from auditor.report import Adversary
from auditor.types import AttackResult, ReIDDataset, RunContext, Target

Scorer = Callable[[Tensor], Scores]
"""Features ``(Q, D)`` of the pictures held to the scores of every entry, a block at a time."""


@checked_dataclass
class WatchList:
    """Tells whether a person is in the gallery, and where, by a picture of them and a threshold.

    Threat model: has the stored gallery, without names, and clean pictures of people of whom
    nobody knows whether they are in it; may query the extractor on those, as they are and protected
    under a key of their own: whichever finds more counts; accepts entries by their cosine, at a
    threshold that few searches for absent people pass.

    Source: open-set identification, with the error rates of ISO/IEC 19795-1. Everybody is searched
    for twice: in the gallery (enrolled), and in the gallery without their entries (absent). Entries
    by the picture's own camera are set aside as in all re-identification here.

    Attributes:
        fpir: the false-positive identification rate of the headline; there must be so many searches
            for absent people that one false alarm in all is no more than this.
    """

    fpir: Probability = 0.01

    family: ClassVar[str] = "search"
    adversary: ClassVar[Adversary] = threat_models.SEARCHER
    headline: ClassVar[str] = "tpir"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        score = self.learn(target, ctx)
        held = held_pictures(target, ctx)
        results = {
            kind: score_searches(score(query), self.fpir, target.data)
            for kind, query in held.items()
        }
        if len(results) == 1:
            return results["clean"]
        return worse_result(results, "people were searched for by clean and by protected pictures")

    def learn(self, target: Target, ctx: RunContext) -> Scorer:
        """Return how pictures held are compared with the stored entries."""
        stored = F.normalize(stored_gallery(target, ctx), dim=1)
        return lambda query: partial(_multiply, F.normalize(query, dim=1), stored)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return each clean picture's likelihood ratio with each entry, with known moments."""
        data = planted.target.data
        codes = data.query.images.load(range(len(data.query)), CELLS).flatten(1) - 0.5
        stored = stored_gallery(planted.target, ctx)
        ratio = planted.truth(ctx).deciding(codes / AMPLITUDE, stored).float()
        return score_searches(lambda block: ratio[block].clone(), self.fpir, data)


@checked_dataclass
class WatchListNormalised(WatchList):
    """Tells whether a person is in the gallery by a cosine compared with those of other people.

    Threat model: has what `watch_list` assumes, and own pictures of other people; may query the
    extractor on those and knows how pictures are protected and how the gallery is released.

    Source: adaptive symmetric score normalisation of speaker verification (Matějka et al.,
    Interspeech 2017): a cosine counts by how many deviations it exceeds those of the picture, and
    those of the entry, with their most similar other people, so that one threshold fits all.

    Attributes:
        fpir: the false-positive identification rate of the headline; see `watch_list`.
        cohort: as many of the most similar other pictures are compared with.
    """

    cohort: Several = 1000

    adversary: ClassVar[Adversary] = threat_models.INFORMED_SEARCHER

    def learn(self, target: Target, ctx: RunContext) -> Scorer:
        """Cosines, normalised on either side by a cohort of own pictures."""
        own = own_pictures(target, ctx).features
        if len(own) < 2:
            raise UnsupportedTargetError("cosines are normalised by those of two or more others")
        released = target.release(own, ctx.generator("attacks.search.release"))
        others = F.normalize(released, dim=1)
        stored = F.normalize(stored_gallery(target, ctx), dim=1)
        entries = self._levels(stored, F.normalize(own, dim=1))

        def score(query: Tensor) -> Scores:
            asked = F.normalize(query, dim=1)
            levels = self._levels(asked, others)

            def block_of(block: slice) -> Tensor:
                cosines = asked[block] @ stored.T
                above = (cosines - levels[0][block, None]) / levels[1][block, None]
                return above + (cosines - entries[0]) / entries[1]

            return block_of

        return score

    def _levels(self, rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``(N,)`` of each row's largest cosines with ``others (M, D)``."""
        count = min(self.cohort, len(others))
        found = [(part @ others.T).topk(count, dim=1).values for part in rows.split(1024)]
        cosines = torch.cat(found)
        return cosines.mean(1), cosines.std(1).clamp_min(1e-6)


@checked_dataclass
class WatchListPlda(WatchList):
    """Tells whether a person is in the gallery by how people differ from one another.

    Threat model: has what `watch_list` assumes, and own pictures of other people; may query the
    extractor on those and knows how pictures are protected and how the gallery is released.

    Source: the likelihood ratio of the two-covariance model (Ioffe, ECCV 2006) of a clean picture
    and a released entry, as `averaging` learns it from auxiliary people, with all its constants: it
    says of every search alike whether an entry is the person's.

    Attributes:
        fpir: the false-positive identification rate of the headline; see `watch_list`.
    """

    adversary: ClassVar[Adversary] = threat_models.INFORMED_SEARCHER

    def learn(self, target: Target, ctx: RunContext) -> Scorer:
        """Likelihood ratios that a picture and an entry show one person."""
        scale, noise, _ = study_release(target, ctx)
        known = scale(own_pictures(target, ctx).features)
        matcher = fit_matcher(known, target.data.auxiliary.pids, noise)
        decide = matcher.decide(stored_gallery(target, ctx))
        return lambda query: lambda block: decide(scale(query)[block]).float()


def _multiply(asked: Tensor, stored: Tensor, block: slice) -> Tensor:
    return asked[block] @ stored.T


def score_searches(scores: Scores, fpir: float, data: ReIDDataset) -> AttackResult:
    """Return all figures of searching the gallery for people who are in it, and for absent ones.

    Raises:
        UnsupportedTargetError: if too few searches are for people who are absent, or none is for
            people who are there.
    """
    truth = Truth.of(
        data.query,
        data.gallery,
        cross_camera=data.cross_camera,
        partners=data.gallery.partners,
    )
    found = search_list(scores, truth)
    check_searches(found, fpir)
    mated = found.listed
    by_rank = measure.rate(
        "rank1_listed",
        found.first[mated],
        found.pids[mated],
        chance=float(found.share[mated].mean()),
        note="rank form: the first entry of the list, whatever its score; 1 − FNIR at rank 1",
    )
    usual = [
        open_set.miss_rate(found, limit, f"fnir_at_fpir_{name}")
        for name, limit in open_set.LIMITS.items()
        if found.absent >= 1 / limit
    ]
    notes = (
        f"{int(mated.sum())} searches for people who are in the gallery, {found.absent} for people "
        "who are not, or whose entries were taken out",
        *(
            f"no FNIR at FPIR {100 * limit:g}%: too few searches for absent people to count it"
            for limit in open_set.LIMITS.values()
            if found.absent < 1 / limit
        ),
    )
    headline = open_set.identification_rate(found, fpir, WatchList.headline)
    curve = open_set.det_curve(found)
    return AttackResult((headline, by_rank, *usual), notes=notes, curves=(curve,))


def check_searches(found: Searches, fpir: float) -> None:
    """Refuse what cannot be counted.

    Raises:
        UnsupportedTargetError: see `score_searches`.
    """
    if found.absent < 1 / fpir:
        raise UnsupportedTargetError(
            f"{found.absent} searches are for people who are absent; a false-positive rate of "
            f"{100 * fpir:g}% needs {round(1 / fpir)} of them, so give more queries, or set fpir "
            "higher"
        )
    if not found.listed.any():
        raise UnsupportedTargetError(
            "no query shows anybody who is in the gallery once its own camera is set aside; "
            "set data.cross_camera: false, or give queries of gallery people"
        )
