"""How far a reconstruction gives a person away: by identity first, by likeness second."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from auditor.artifacts.atomic import write_picture
from auditor.data.images import as_bytes
from auditor.embedding import embed_pictures, features_of
from auditor.metrics import measure
from auditor.metrics.perceptual import PerceptualDistance, psnr, ssim
from auditor.metrics.retrieval import Retrieval, evaluate
from auditor.metrics.similarity import Truth
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
    passes a threshold that 1 % or 0.1 % of pairs of two people pass.

    Returns the figures with the feature-blind floor as chance, and a sentence with the ceiling.
    """
    seen = embed_pictures(judge, trial.drawn, ctx)
    real = embed_pictures(judge, trial.originals, ctx)
    known = _Known.of(judge, trial, ctx)
    other = len(trial.chosen) // 2  # the floor: each reconstruction passed off as another person's
    found, ceiling = known.search(seen, 0), known.search(real, 0)
    floor = known.search(seen, other)
    suffix = "" if name == "target" else f".{name}"
    valid = trial.pids[found.query_index]
    figures = [
        measure.rate(f"reid_rank1{suffix}", found.hit(1), valid, chance=floor.cmc(1)),
        measure.mean(f"reid_map{suffix}", found.average_precision, valid, chance=floor.mean_ap),
        measure.rate(
            f"type1_rank1{suffix}",
            known.source_first(seen, 0),
            trial.pids,
            chance=float(known.source_first(seen, other).mean()),
        ),
    ]
    figures.append(
        measure.mean(
            f"source_cosine{suffix}",
            known.source_cosine(seen, 0),
            trial.pids,
            chance=float(known.source_cosine(seen, other).mean()),
            unit="ratio",
        )
    )
    figures += known.success_rates(seen, other, suffix)
    who = "the audited extractor" if name == "target" else f"the independent judge {name}"
    note = (
        f"judged by {who}: the real pictures at this size reach rank-1 {ceiling.cmc(1):.3f} "
        f"and mAP {ceiling.mean_ap:.3f}"
    )
    return figures, note


@dataclass(frozen=True, eq=False)
class _Known:
    """All real pictures of the attacked people as a judge sees them; the gallery comes first."""

    trial: Trial
    features: Tensor
    pids: Tensor
    camids: Tensor

    @classmethod
    def of(cls, judge: FeatureExtractor, trial: Trial, ctx: RunContext) -> "_Known":
        places = (trial.target.originals_of_gallery, trial.target.data.query)
        return cls(
            trial,
            torch.cat([features_of(judge, split, ctx) for split in places]),
            torch.cat([split.pids for split in places]),
            torch.cat([split.camids for split in places]),
        )

    def search(self, seen: Tensor, shift: int) -> Retrieval:
        """Look up ``seen`` as if each showed the person ``shift`` places on, sources set aside."""
        trial = self.trial
        return evaluate(
            seen,
            self.features,
            Truth(
                trial.pids.roll(shift),
                self.pids,
                trial.camids.roll(shift),
                self.camids,
                cross_camera=trial.target.data.cross_camera,
                query_sources=trial.chosen.roll(shift),
            ),
        )

    def success_rates(self, seen: Tensor, other: int, suffix: str) -> list[Measurement]:
        """How often a pair passes each threshold, with that of a person ``other`` places on."""
        rates = []
        for label, threshold in self.thresholds().items():
            for kind, share in (("type1", self.accepted_source), ("type2", self.accepted_person)):
                values, pids = share(seen, threshold, 0)
                chance = float(share(seen, threshold, other)[0].mean())
                name = f"sar_{kind}_{label}{suffix}"
                rates.append(measure.mean(name, values, pids, chance=chance))
        return rates

    def source_first(self, seen: Tensor, shift: int) -> Tensor:
        """Return whether ``(M,)`` the source comes before all pictures of other people.

        Ties share.
        """
        cosines, sources = self._cosines(seen), self.trial.chosen.roll(shift)
        own = cosines.gather(1, sources[:, None])
        others = self.pids != self.trial.pids.roll(shift)[:, None]
        better = (others & (cosines > own)).any(1)
        ties = (others & (cosines == own)).sum(1)
        return (~better).double() / (1 + ties)

    def source_cosine(self, seen: Tensor, shift: int) -> Tensor:
        """Cosine ``(M,)`` of each reconstruction to the source, whose picture it should show."""
        return self._cosines(seen).gather(1, self.trial.chosen.roll(shift)[:, None])[:, 0].double()

    def accepted_source(self, seen: Tensor, threshold: float, shift: int) -> tuple[Tensor, Tensor]:
        """Return whether the source's cosine passes ``(M,)``, and whose it is."""
        return (self.source_cosine(seen, shift) > threshold).double(), self.trial.pids

    def accepted_person(self, seen: Tensor, threshold: float, shift: int) -> tuple[Tensor, Tensor]:
        """Return the share of a person's other pictures whose cosine passes, and whose they are."""
        wanted = self._mark_right(shift)
        counts = wanted.sum(1)
        shares = (wanted & (self._cosines(seen) > threshold)).sum(1) / counts.clamp_min(1)
        return shares[counts > 0].double(), self.trial.pids[counts > 0]

    def thresholds(self) -> dict[str, float]:
        """Label -> cosine that a share of the pairs of two people's real pictures exceeds."""
        real = self.features[self.trial.chosen]
        impostors = self._cosines(real)[self.pids != self.trial.pids[:, None]]
        ordered = impostors.sort(descending=True).values
        return {
            label: float(ordered[int(rate * len(ordered))])
            for label, rate in FALSE_MATCH_RATES.items()
        }

    def _mark_right(self, shift: int) -> Tensor:
        """Return the pictures ``(M, N)`` that would be right for each reconstruction."""
        pids, camids = self.trial.pids.roll(shift), self.trial.camids.roll(shift)
        wanted = self.pids == pids[:, None]
        wanted[torch.arange(len(pids)), self.trial.chosen.roll(shift)] = False
        if self.trial.target.data.cross_camera:
            wanted &= (self.camids != camids[:, None]) | (camids[:, None] < 0)
        return wanted

    def _cosines(self, seen: Tensor) -> Tensor:
        return F.normalize(seen, dim=1) @ F.normalize(self.features, dim=1).T


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
