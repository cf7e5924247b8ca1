"""The closed form: cosines with known features are linear equations for the unknown one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import Ridge
from torch import Tensor

from attacks import threat_models
from attacks.adaptive.averaging import found_by
from attacks.protocol.publication import held_pictures, own_pictures
from attacks.protocol.reference import find_people
from attacks.score_api.api import ScoreApi
from attacks.score_api.budget import budget_curve, halvings
from auditor.certification.planting import Planted
from auditor.embedding import stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary, Measurement, pluralize
from auditor.row_blocks import map_rows, split_rows
from auditor.types import AttackResult, RunContext, Target

FLOAT = float(np.finfo(np.float32).eps)
"""The error of a score that is not rounded."""


@checked_dataclass
class ScoreTrilateration:
    """Recovers stored embeddings from the similarity scores of a few hundred pictures.

    Threat model: may submit pictures to a verification service and sees the cosine with a stored
    entry chosen by its position, never a feature of it; has own pictures of other people and the
    extractor itself (a public model, say), so it knows the features of whatever it submits; knows
    how the gallery is protected and released, and submits own pictures protected under a key of
    their own; then names people by own pictures of them, the queries, as they are and protected:
    whichever finds more counts.

    Source: the templates behind match scores (Mohanty, Sarkar and Kasturi, TPAMI 2007), who embed
    the scores of an unknown matcher. Differences: where the extractor is known no embedding is
    needed. A cosine is linear in the unit feature, so as many scores as the feature has dimensions
    give it back exactly; before that, and where scores are rounded, the answer is the mean of a
    Gaussian posterior whose prior are auxiliary people. The pictures to submit are chosen by
    pivoted QR, which needs no query.

    Attributes:
        queries: pictures submitted, each against every entry of the gallery.
        decimals: places the service rounds its scores to; None if it does not.
        top_k: the service shows an entry's score only while it is among so many best; None if
            always. What a hidden score rules out is not used.
    """

    queries: PositiveInt = 512
    decimals: PositiveInt | None = None
    top_k: PositiveInt | None = None

    family: ClassVar[str] = "score_api"
    adversary: ClassVar[Adversary] = threat_models.INFORMED_CUSTOMER
    headline: ClassVar[str] = "matched_rank1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        prior = learn_prior(target, ctx)
        known = own_pictures(target, ctx).features
        probes = prior.telling(known)[: self.queries]
        api = ScoreApi(target, ctx, self.decimals, self.top_k)
        scores = api.answer_for_all(known[probes])
        noise = FLOAT if self.decimals is None else 10.0**-self.decimals / 12**0.5
        ranks, cosines = [], []
        for count in halvings(len(probes)):
            recovered = prior.posterior(known[probes[:count]], scores[:count], noise)
            ranks.append((count, _measure_matches(recovered, target, ctx)))
            cosines.append((count, _cosine(recovered, prior.mean, target, ctx)))
            ctx.progress(count / len(probes), "recovering features")
        return AttackResult(
            (ranks[-1][1], cosines[-1][1]),
            notes=self._notes(target, scores, ctx),
            curves=(budget_curve("queries", ranks), budget_curve("queries_cosine", cosines)),
        )

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Compare clean query and entries by the cosine that is best with known moments."""
        return find_people(planted, ctx, "matched")

    def _notes(self, target: Target, scores: Tensor, ctx: RunContext) -> tuple[str, ...]:
        ceiling = _measure_matches(stored_gallery(target, ctx), target, ctx)
        dim, shown = target.extractor.feature_dim, float(scores.isfinite().double().mean())
        notes = [
            f"{len(scores)} scores for {dim} unknowns of each entry; the stored gallery itself "
            f"matches at rank-1 {ceiling.value:.3f}"
        ]
        if len(scores) < self.queries:
            notes.append(f"there are {len(scores)} own pictures to submit, not {self.queries}")
        if self.top_k is not None:
            notes.append(f"the service showed {shown:.1%} of the scores asked for")
        return tuple(notes)


@dataclass(frozen=True, eq=False)
class Prior:
    """Where unit stored features lie, as far as auxiliary people tell.

    Attributes:
        mean: ``(D,)`` float64.
        axes: ``(D, D)`` principal axes in columns, each as long as its standard deviation.
    """

    mean: Tensor
    axes: Tensor

    def telling(self, features: Tensor) -> Tensor:
        """Positions ``(N,)`` of ``features (N, D)``, those that tell most about an entry first."""
        spread = F.normalize(features.double(), dim=1) @ self.axes
        _, order = scipy.linalg.qr(spread.T.numpy(), mode="r", pivoting=True)
        return torch.from_numpy(order).long()

    def posterior(self, features: Tensor, scores: Tensor, noise: float) -> Tensor:
        """Return unit stored features ``(G, D)``, up to their length.

        Args:
            features: ``(Q, D)`` of the submitted pictures.
            scores: ``(Q, G)`` cosines; NaN where hidden.
            noise: standard deviation of their errors.
        """
        unit = F.normalize(features.double(), dim=1)
        design, expected = (unit @ self.axes).numpy(), unit @ self.mean
        return map_rows(lambda told: self._recover(design, expected, told, noise), scores.T)

    def _recover(self, design: np.ndarray, expected: Tensor, told: Tensor, noise: float) -> Tensor:
        """Return features ``(N, D)`` of entries of which scores ``told (N, Q)`` are known."""
        surprise = (told.double() - expected).T.numpy()
        shown, steps = np.isfinite(surprise), np.zeros((len(told), len(self.mean)))
        whole = shown.all(0)
        if whole.any():
            steps[whole] = _ridge(design, surprise[:, whole], noise)
        for entry in np.flatnonzero(~whole & shown.any(0)):
            rows = shown[:, entry]
            steps[entry] = _ridge(design[rows], surprise[rows, entry, None], noise)[0]
        return (self.mean + torch.from_numpy(steps) @ self.axes.T).float()


def learn_prior(target: Target, ctx: RunContext) -> Prior:
    """Estimate mean and covariance (Ledoit and Wolf) of auxiliary people's unit released features.

    Raises:
        UnsupportedTargetError: if there are fewer than two auxiliary pictures.
    """
    own = own_pictures(target, ctx).features
    if len(own) < 2:
        raise UnsupportedTargetError(
            f"the adversary has {pluralize(len(own), 'auxiliary picture')} to submit; two are "
            "needed"
        )
    released = target.release(own, ctx.generator("attacks.score_trilateration.prior"))
    rows = F.normalize(released.double(), dim=1)
    covariance, _ = ledoit_wolf(rows.numpy())
    variances, axes = torch.linalg.eigh(torch.from_numpy(covariance))
    return Prior(rows.mean(0), axes * variances.clamp_min(0).sqrt())


def _ridge(design: np.ndarray, surprise: np.ndarray, noise: float) -> np.ndarray:
    """Posterior means ``(G, D)`` of standard normal unknowns, by singular values."""
    ridge = Ridge(alpha=noise**2, fit_intercept=False, solver="svd")
    return np.asarray(ridge.fit(design, surprise).coef_).reshape(surprise.shape[1], -1)


def _measure_matches(entries: Tensor, target: Target, ctx: RunContext) -> Measurement:
    """Return how often the queries' people are recognised among ``entries (G, D)``."""
    held = held_pictures(target, ctx)
    return found_by(ScoreTrilateration.headline, held, entries, target.data)


def _cosine(recovered: Tensor, typical: Tensor, target: Target, ctx: RunContext) -> Measurement:
    """Between recovered and stored features ``(G, D)``; blind is the ``typical (D,)`` one."""
    stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
    people = pids > 0
    blind, near = [], []
    for found, rows in zip(split_rows(recovered), split_rows(stored), strict=True):
        near.append(F.cosine_similarity(found, rows))
        blind.append(F.cosine_similarity(typical.float()[None], rows))
    return measure.mean(
        "recovered_cosine",
        torch.cat(near)[people],
        pids[people],
        chance=float(torch.cat(blind)[people].double().mean()),
        unit="ratio",
        note="between the recovered and the stored feature; blind, the mean auxiliary one",
    )
