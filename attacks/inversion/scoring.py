"""How far a reconstruction gives a person away: by identity first, by likeness second."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from auditor.artifacts.atomic import write_picture
from auditor.data.images import as_bytes
from auditor.embedding import embed_pictures, features_of
from auditor.metrics import measure
from auditor.metrics.perceptual import PerceptualDistance, psnr, ssim
from auditor.metrics.retrieval import Retrieval, evaluate
from auditor.metrics.similarity import Similarities, Truth
from auditor.report import Measurement
from auditor.types import FeatureExtractor, RunContext, Target

CHUNK = 64
FALSE_MATCH_RATES = {"fmr1": 0.01, "fmr01": 0.001}
"""Label -> share of the pairs of two people that a threshold lets pass."""
EXHIBITED = 12

Likeness = Callable[[Tensor, Tensor], Tensor]
"""Of pictures ``(M, 3, H, W)`` to as many originals, ``(M,)``."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Reconstructions of some gallery entries, beside what they should show.

    Attributes:
        target: what was attacked.
        chosen: ``(M,)`` gallery rows.
        drawn: ``(M, 3, H, W)`` reconstructions.
        originals: ``(M, 3, H, W)`` the rows' own pictures at the same size.
    """

    target: Target
    chosen: Tensor
    drawn: Tensor
    originals: Tensor

    @property
    def pids(self) -> Tensor:
        """Who should be shown ``(M,)``."""
        return self.target.originals_of_gallery.pids[self.chosen]

    @property
    def camids(self) -> Tensor:
        """Which cameras took the pictures ``(M,)``."""
        return self.target.originals_of_gallery.camids[self.chosen]


def score_identity(
    name: str, judge: FeatureExtractor, trial: Trial, ctx: RunContext
) -> tuple[list[Measurement], str]:
    """Re-identification of the reconstructions, as ``judge`` sees them.

    Type II asks for the person in other pictures (other cameras, where the dataset is judged so),
    type I for the very picture that was embedded (Mai et al., TPAMI 2018, §4). Rank-1 and mAP rank
    all real pictures of the attacked people; the success attack rate counts pairs whose cosine
    passes a threshold that 1% or 0.1% of pairs of two people pass.

    Returns the figures with the feature-blind floor as chance, and a sentence with the ceiling.
    """
    seen = embed_pictures(judge, trial.drawn, ctx)
    real = embed_pictures(judge, trial.originals, ctx)
    known = Known.of(judge, trial, ctx)
    other = len(trial.chosen) // 2  # the floor: each reconstruction passed off as another person's
    found, ceiling = known.search(seen, 0), known.search(real, 0)
    floor = known.search(seen, other)
    limits = known.thresholds()
    own, blind = known.compare(seen, (0, other), limits)
    suffix = "" if name == "target" else f".{name}"
    valid = trial.pids[found.query_index]
    figures = [
        measure.rate(f"reid_rank1{suffix}", found.hit(1), valid, chance=floor.cmc(1)),
        measure.mean(f"reid_map{suffix}", found.average_precision, valid, chance=floor.mean_ap),
        measure.rate(
            f"type1_rank1{suffix}", own.first, trial.pids, chance=float(blind.first.mean())
        ),
        measure.mean(
            f"source_cosine{suffix}",
            own.cosine,
            trial.pids,
            chance=float(blind.cosine.mean()),
            unit="ratio",
        ),
        *_success_rates(own, blind, limits, trial.pids, suffix),
    ]
    who = "the audited extractor" if name == "target" else f"the independent judge {name}"
    note = (
        f"judged by {who}: the real pictures at this size reach rank-1 {ceiling.cmc(1):.3f} "
        f"and mAP {ceiling.mean_ap:.3f}"
    )
    return figures, note


def _success_rates(
    own: "_Comparison",
    blind: "_Comparison",
    limits: Mapping[str, float],
    pids: Tensor,
    suffix: str,
) -> list[Measurement]:
    """How often a pair passes each threshold; ``blind`` is of somebody else's reconstructions."""
    rates = []
    for label, limit in limits.items():
        first, chance = ((side.cosine > limit).double() for side in (own, blind))
        name = f"sar_type1_{label}{suffix}"
        rates.append(measure.mean(name, first, pids, chance=float(chance.mean())))
        shares, chance = own.shares[label], blind.shares[label]
        has = ~shares.isnan()
        name = f"sar_type2_{label}{suffix}"
        rates.append(measure.mean(name, shares[has], pids[has], chance=float(chance.nanmean())))
    return rates


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Reconstructions beside the real pictures, each passed off as some person's.

    Attributes:
        cosine: ``(M,)`` float64, to the source, whose picture it should show.
        first: ``(M,)`` float64, how likely the source comes before all pictures of other people.
        shares: label of a threshold -> ``(M,)`` share of the person's other pictures that pass it,
            NaN where there are none.
    """

    cosine: Tensor
    first: Tensor
    shares: Mapping[str, Tensor]

    @classmethod
    def join(cls, parts: Sequence["_Comparison"]) -> "_Comparison":
        labels = parts[0].shares
        return cls(
            torch.cat([part.cosine for part in parts]),
            torch.cat([part.first for part in parts]),
            {label: torch.cat([part.shares[label] for part in parts]) for label in labels},
        )


@dataclass(frozen=True, eq=False)
class Known:
    """All real pictures of the attacked people as a judge sees them; the gallery comes first."""

    trial: Trial
    features: Tensor
    pids: Tensor
    camids: Tensor

    @classmethod
    def of(cls, judge: FeatureExtractor, trial: Trial, ctx: RunContext) -> "Known":
        """Return them for a trial, gallery and queries embedded once per run."""
        places = (trial.target.originals_of_gallery, trial.target.data.query)
        return cls(
            trial,
            torch.cat([features_of(judge, split, ctx) for split in places]),
            torch.cat([split.pids for split in places]),
            torch.cat([split.camids for split in places]),
        )

    def search(self, seen: Tensor, shift: int) -> Retrieval:
        """Look up ``seen`` as if each showed the person ``shift`` places on, sources set aside."""
        return evaluate(seen, self.features, self._truth(shift))

    def compare(
        self, seen: Tensor, shifts: Sequence[int], limits: Mapping[str, float]
    ) -> list[_Comparison]:
        """``seen`` as if each showed the person so many places on, for each of ``shifts``."""
        truths = [self._truth(shift) for shift in shifts]
        parts: list[list[_Comparison]] = [[] for _ in shifts]
        scores = Similarities.of(seen, self.features, "cosine")
        for start in range(0, len(seen), CHUNK):
            block = slice(start, start + CHUNK)
            cosines = scores(block)
            for truth, found in zip(truths, parts, strict=True):
                found.append(_compare(cosines, truth, block, limits))
        return [_Comparison.join(found) for found in parts]

    def thresholds(self) -> dict[str, float]:
        """Label -> cosine that a share of the pairs of two people's real pictures exceeds."""
        scores = Similarities.of(self.features[self.trial.chosen], self.features, "cosine")
        people, pictures = self.pids.unique(return_counts=True)
        own = pictures[torch.searchsorted(people, self.trial.pids)]
        pairs = len(own) * len(self.pids) - int(own.sum())
        ranks = {label: int(rate * pairs) for label, rate in FALSE_MATCH_RATES.items()}
        # only the highest can be a threshold, so the rest are forgotten block by block
        highest = scores(slice(0, 0)).flatten()
        for start in range(0, len(self.trial.chosen), CHUNK):
            block = slice(start, start + CHUNK)
            others = self.pids != self.trial.pids[block, None]
            highest = torch.cat([highest, scores(block)[others]])
            highest = highest.topk(min(len(highest), max(ranks.values()) + 1)).values
        return {label: float(highest[rank]) for label, rank in ranks.items()}

    def _truth(self, shift: int) -> Truth:
        trial = self.trial
        return Truth(
            trial.pids.roll(shift),
            self.pids,
            trial.camids.roll(shift),
            self.camids,
            cross_camera=trial.target.data.cross_camera,
            query_sources=trial.chosen.roll(shift),
        )


def _compare(
    cosines: Tensor, truth: Truth, block: slice, limits: Mapping[str, float]
) -> _Comparison:
    """Compare a block of reconstructions, by cosines ``(B, N)`` to all real pictures."""
    assert truth.query_sources is not None
    own = cosines.gather(1, truth.query_sources[block, None])
    others = truth.gallery_pids != truth.query_pids[block, None]
    better = (others & (cosines > own)).any(1)
    ties = (others & (cosines == own)).sum(1)
    wanted, _ = truth.relevant(block)
    reached, count = cosines[wanted.row, wanted.entry], wanted.row.bincount(minlength=len(own))
    passed = {
        label: wanted.row.bincount((reached > limit).double(), minlength=len(own))
        for label, limit in limits.items()
    }
    return _Comparison(
        own[:, 0].double(),
        (~better).double() / (1 + ties),
        {label: hits / count for label, hits in passed.items()},
    )


def alike(
    drawn: Tensor, originals: Tensor, pids: Tensor, distance: PerceptualDistance
) -> list[Measurement]:
    """PSNR, SSIM and LPIPS; the chance level is another person's reconstruction."""
    other = drawn.roll(len(drawn) // 2, 0)
    device = next(distance.parameters()).device

    def perceived(images: Tensor, truths: Tensor) -> Tensor:
        pairs = zip(images.split(CHUNK), truths.split(CHUNK), strict=True)
        with torch.no_grad():
            return torch.cat([distance(a.to(device), b.to(device)).cpu() for a, b in pairs])

    rows: tuple[tuple[str, Likeness, measure.Unit, measure.Worse, str], ...] = (
        ("psnr", psnr, "dB", "higher", ""),
        ("ssim", ssim, "ratio", "higher", ""),
        (distance.name, perceived, "distance", "lower", distance.note),
    )
    return [
        measure.mean(
            name,
            metric(drawn, originals),
            pids,
            chance=float(metric(other, originals).mean()),
            unit=unit,
            worse=worse,
            note=note,
        )
        for name, metric, unit, worse, note in rows
    ]


def save_strip(path: Path, originals: Tensor, drawn: Tensor) -> None:
    """Two rows of pictures: originals above, reconstructions below, spread over the people."""
    step = max(1, len(originals) // EXHIBITED)
    rows = [torch.cat(list(images[::step][:EXHIBITED]), dim=2) for images in (originals, drawn)]
    grid = as_bytes(torch.cat(rows, dim=1)).permute(1, 2, 0).numpy()
    write_picture(path, Image.fromarray(grid), mode=0o600)
