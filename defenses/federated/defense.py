"""The defense: who the clients are, and the rounds they train in."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from auditor.errors import UnsupportedTargetError
from auditor.models.extractor import CardedExtractor
from auditor.plugins.declaring import Positive, Several, Weight, checked_dataclass
from auditor.training import Recipe, train_reid
from auditor.types import RunContext, Split, Target, silent
from defenses.federated.averaging import average
from defenses.retrain import retrainable
from defenses.retrain.reset import draw_anew


@checked_dataclass
class Federated:
    """Retrains the extractor where the pictures are, and collects weights instead of pictures.

    Partial averaging (FedPav; Zhuang et al., ACM MM 2020): in every round each client trains a copy
    of the network with an identity classifier of its own, which never leaves it, and the server
    replaces the network by the mean of the copies, weighted by pictures. A client is one camera, or
    has all pictures of some people (Zhuang et al., ACM TOMM 2022).

    No noise is added, so nothing is claimed: whoever sees an update can attack it (`idlg`,
    `gradient_inversion`), and the extractor gives away what any other trained extractor does. The
    clients take turns in one process.

    Differences: AdamW with a schedule that starts anew in each round, instead of SGD; every client
    takes part in every round; no distillation and no weighting by cosine distance. A client that
    knows one person has nobody to tell apart and takes no part; the record counts such clients.

    Attributes:
        clients: what a client has.
        count: clients among which people are dealt; 0: as many as there are cameras.
        rounds: how often weights are averaged.
        epochs: local passes per round.
        people: persons per batch.
        views: pictures of each.
        lr: peak learning rate of a round.
        head_lr: factor on it for the clients' classifiers.
        softmax: weight of the identity softmax.
        triplet: weight of batch-hard triplets among a client's people; the papers use none.
        scratch: whether the network starts from nothing instead of the given weights.
    """

    trains_model: ClassVar[bool] = True

    clients: Literal["camera", "identity"] = "camera"
    count: NonNegativeInt = 0
    rounds: PositiveInt = 10
    epochs: PositiveInt = 1
    people: Several = 16
    views: Several = 4
    lr: Positive = 3e-4
    head_lr: Positive = 10.0
    softmax: Weight = 1.0
    triplet: Weight = 0.0
    scratch: bool = False

    def __post_init__(self) -> None:
        if self.softmax + self.triplet == 0:
            raise ValueError("softmax and triplet must not both be 0")
        if self.count and self.clients == "camera":
            raise ValueError("count is for clients: identity; the cameras are as many as they are")

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`.

        Raises:
            UnsupportedTargetError: if fewer than two clients can learn to tell two people apart.
        """
        extractor = deepcopy(retrainable(target)).to(ctx.device)
        parts, left_out = self.split(target.data.train, ctx)
        if self.scratch:
            with ctx.randomness("defenses.federated.start"):
                draw_anew(extractor.network)
        heads: list[nn.ModuleList | None] = [None] * len(parts)
        for turn in range(self.rounds):
            states = []
            for client, part in enumerate(parts):
                name = f"federated {turn}/{client}"
                state, heads[client] = self._local(extractor, part, heads[client], name, ctx)
                states.append(state)
                done = turn + (client + 1) / len(parts)
                ctx.progress(done / self.rounds, f"client {client + 1} of {len(parts)}")
            mean = average(states, [len(part) for part in parts])
            extractor.network.load_state_dict(mean)
        notes = (*target.notes, *_left_out(left_out, self.clients, len(parts)))
        return replace(target, extractor=extractor.eval(), notes=notes)

    def split(self, people: Split, ctx: RunContext) -> tuple[list[Split], list[Split]]:
        """Split people among clients; also return those of one person, with nothing to learn from.

        Raises:
            UnsupportedTargetError: if fewer than two clients are left.
        """
        shown = people.take(torch.nonzero(people.pids > 0).flatten())
        codes = shown.camids if self.clients == "camera" else self._deal(shown, ctx)
        held = [shown.take((codes == c).nonzero().flatten()) for c in _known(codes)]
        parts = [part for part in held if len(part.pids.unique()) > 1]
        if len(parts) < 2:
            raise UnsupportedTargetError(
                f"the training split makes {len(parts)} clients by {self.clients} that know two or "
                "more people, and averaging takes two; give camids, or choose clients: identity"
            )
        return parts, [part for part in held if len(part.pids.unique()) == 1]

    def _deal(self, shown: Split, ctx: RunContext) -> Tensor:
        """Return a client ``(N,)`` for each picture, the same for all pictures of a person."""
        count = self.count or max(2, len(_known(shown.camids)))
        named, persons = shown.pids.unique(return_inverse=True)
        order = torch.randperm(len(named), generator=ctx.generator("defenses.federated.deal"))
        return (order % count)[persons]

    def _local(
        self,
        extractor: CardedExtractor,
        part: Split,
        heads: nn.ModuleList | None,
        name: str,
        ctx: RunContext,
    ) -> tuple[dict[str, Tensor], nn.ModuleList]:
        """Return the client's weights after its epochs, and its classifiers, which stay with it."""
        quiet = replace(ctx, progress=silent)
        trained = train_reid(extractor, part, self.recipe, quiet, name=name, classifiers=heads)
        return trained.extractor.network.state_dict(), trained.classifiers

    @property
    def recipe(self) -> Recipe:
        """Of one round at one client."""
        return Recipe(
            epochs=self.epochs,
            people=self.people,
            views=self.views,
            lr=self.lr,
            head_lr=self.head_lr,
            softmax=self.softmax,
            triplet=self.triplet,
        )


def _left_out(held: Sequence[Split], clients: str, took_part: int) -> Iterator[str]:
    """Says which clients took no part, for their people were not learned from."""
    if held:
        people = len(torch.cat([part.pids for part in held]).unique())
        images = sum(map(len, held))
        yield (
            f"federated: {len(held)} of {len(held) + took_part} clients by {clients} know one "
            f"person only and took no part; {people} people's {images} pictures there were not "
            "learned from"
        )


def _known(codes: Tensor) -> Sequence[int]:
    known: list[int] = codes[codes >= 0].unique().tolist()
    return known
