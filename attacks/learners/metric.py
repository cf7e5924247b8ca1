"""A learned metric: stored features re-embedded so that a person's entries lie together.

Four rungs learn it from auxiliary people's stored features: the features themselves on one scale;
the same along whitened axes, where a faint direction counts as much as any; the columns of an
`Expansion`, which are not linear in them; and a network over both, trained by supervised contrast
(Khosla et al., NeurIPS 2020) through fresh releases. Held-out auxiliary people choose, so that what
cannot help does not harm.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from attacks.learners.expansion import Expansion
from attacks.learners.mapping import HELD_OUT, TRIAL
from attacks.learners.plda import Own, Plda, Prepare, study
from attacks.learners.standardising import Standardise, Whiten
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.releasing import draw_release
from auditor.training import fit, one_cycle
from auditor.types import RunContext

FEWEST = 20
"""With fewer auxiliary people nothing but the features themselves is tried."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Hyper-parameters of the network.

    Attributes:
        steps: of training; 0 leaves the network out.
        people: in a batch.
        pictures: of each of them.
        hidden: width of its hidden layer.
        embedding: width of what it makes of a feature.
        temperature: of the contrast.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW.
    """

    steps: int = 300
    people: int = 64
    pictures: int = 4
    hidden: int = 256
    embedding: int = 128
    temperature: float = 0.1
    lr: float = 1e-3
    weight_decay: float = 0.05


@dataclass(frozen=True, eq=False)
class Metric:
    """What was learned.

    Attributes:
        rung: ``features``, ``whitened``, ``expansion`` or ``network``.
        prepare: stored entries to what is modelled.
        found: mean average precision with which each rung finds people it has not seen.
    """

    rung: str
    prepare: Prepare
    found: dict[str, float]

    @property
    def note(self) -> str:
        """Which rung was chosen, and how they fared."""
        fared = ", ".join(f"{rung} {value:.3f}" for rung, value in self.found.items())
        by = f"by mean average precision on people held out: {fared}" if fared else "untried"
        return f"the metric is that of the {self.rung} ({by})"


def learn_metric(
    own: Own, stored: Tensor, contrast: Contrast, ctx: RunContext, name: str
) -> Metric:
    """Return the rung that serves held-out auxiliary people best, learned from all of them.

    Args:
        own: auxiliary people.
        stored: ``(G, D)`` the entries that are attacked, whose scale counts.
        contrast: how the network is trained.
        ctx: the run.
        name: randomness is drawn under it.
    """
    people = own.pids.unique()
    if len(people) < FEWEST:
        return Metric("features", Standardise(stored), {})
    held = torch.isin(own.pids, people[::HELD_OUT])
    known, asked = own.take(~held), own.take(held)
    trial = _rungs(known, stored, contrast, ctx, f"{name}.trial")
    found = {rung: _serve(learn(), known, asked, ctx, name) for rung, learn in trial.items()}
    best = max(found, key=lambda rung: found[rung])
    return Metric(best, _rungs(own, stored, contrast, ctx, f"{name}.all")[best](), found)


def _rungs(
    own: Own, stored: Tensor, contrast: Contrast, ctx: RunContext, name: str
) -> dict[str, Callable[[], Prepare]]:
    """Return how each rung is learned, the plainest first."""
    plain = Standardise(stored)

    def expand() -> Expansion:
        return Expansion.of(stored, own.draw(ctx.generator(f"{name}.expansion")), own.pids)

    def train() -> Prepare:
        with ctx.randomness(name):
            network = _Network(plain, expand(), own, contrast, ctx.generator(f"{name}.network"))
            fit(
                network,
                _Crowds(own, contrast, network.generator),
                epochs=1,
                ctx=ctx,
                detail="metric",
            )
        return network.embed

    def whiten() -> Whiten:
        return Whiten.of(torch.cat([stored, own.draw(ctx.generator(f"{name}.whitened"))]))

    rungs: dict[str, Callable[[], Prepare]] = {
        "features": lambda: plain,
        "whitened": whiten,
        "expansion": expand,
    }
    return rungs | ({"network": train} if contrast.steps else {})


def _serve(prepare: Prepare, known: Own, asked: Own, ctx: RunContext, name: str) -> float:
    """Return the mean AP of finding the people of ``asked`` in one release by entries of another.

    Entries are compared as `Plda.weigh` has it, learned from the people of ``known``.
    """
    model = study(known, prepare, ctx.generator(f"{name}.known"))
    assert model is not None  # there are `FEWEST` people or more
    plda, generator = Plda.of([model]), ctx.generator(f"{name}.asked")
    some = asked.take(torch.arange(0, len(asked.pids), -(-len(asked.pids) // TRIAL)))
    ours, theirs = (plda.weigh(prepare(some.draw(generator))) for _ in range(2))
    pids, views = some.pids, some.views
    seen = torch.stack([pids, views]).unique(dim=1)[0]
    if len(seen) == len(seen.unique()):  # nobody was seen in two views
        views = torch.arange(len(pids))
    return evaluate(ours, theirs, Truth(pids, pids, views, views)).mean_ap


@dataclass
class _Crowds:
    """Batches of a few pictures each of some people, drawn at random."""

    own: Own
    contrast: Contrast
    generator: torch.Generator

    def __len__(self) -> int:
        return self.contrast.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        people, person = self.own.pids.unique(return_inverse=True)
        counts, order = person.bincount(), person.argsort(stable=True)
        starts = counts.cumsum(0) - counts
        for _ in range(len(self)):
            some = torch.randperm(len(people), generator=self.generator)[: self.contrast.people]
            shape = (len(some), self.contrast.pictures)
            place = torch.rand(shape, generator=self.generator) * counts[some, None]
            rows = order[starts[some, None] + place.long()].flatten()
            yield self.own.features[rows], person[rows]


class _Network(pl.LightningModule):
    """A linear map of features, and what a hidden layer adds that reads their expansion too."""

    def __init__(
        self,
        plain: Standardise,
        expansion: Expansion,
        own: Own,
        contrast: Contrast,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.plain, self.expansion, self.contrast = plain, expansion, contrast
        self.release, self.generator = own.release, generator
        width, wide = len(plain.mean), len(plain.mean) + len(expansion.kept)
        self.linear = nn.Linear(width, contrast.embedding, bias=False)
        self.added = nn.Sequential(
            nn.Linear(wide, contrast.hidden),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(contrast.hidden, contrast.embedding),
        )

    def forward(self, stored: Tensor) -> Tensor:
        """Return stored entries ``(B, D)`` to unit rows ``(B, E)``."""
        features = self.plain(stored)
        added = self.added(torch.cat([features, self.expansion(stored)], dim=1))
        return F.normalize(self.linear(features) + added, dim=1)

    def embed(self, stored: Tensor) -> Tensor:
        """Return the same without a graph."""
        with torch.no_grad():
            rows: Tensor = self(stored.float())
        return rows

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        features, person = batch
        stored = draw_release(self.release, features, self.generator).float()
        return contrast_of(self(stored), person, self.contrast.temperature)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return one_cycle(self, self.contrast.lr, self.contrast.weight_decay)


def contrast_of(rows: Tensor, person: Tensor, temperature: float) -> Tensor:
    """Supervised contrast of unit rows ``(B, E)`` of ``person (B,)``: positives outside the log."""
    alone = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    likeness = (rows @ rows.T / temperature).masked_fill(alone, -torch.inf)
    same = (person[:, None] == person) & ~alone
    share = likeness.log_softmax(1).masked_fill(~same, 0.0).sum(1) / same.sum(1).clamp_min(1)
    return -share.mean()
