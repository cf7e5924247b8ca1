"""Which entries an attack asks about that compares each of them with all others.

Its time would grow with the square of the gallery, while figures are as precise as there are people
in them, however many entries each has. So in a large gallery it asks about a few entries of some
people, and looks for them among everybody.
"""

import torch
from torch import Tensor

from auditor.types import RunContext

WHOLE = 20_000
"""Up to so many entries all are asked about: Market-1501's gallery has fewer."""
PEOPLE, ENTRIES = 1000, 4
"""In larger galleries so many people are asked about, with so many entries of each at most."""


def sample_entries(pids: Tensor, ctx: RunContext) -> Tensor:
    """Return which of entries ``pids (N,)`` are asked about ``(M,)``; the same for every attack.

    In a large gallery, entries drawn at random of people drawn at random; distractors are nobody.
    """
    if len(pids) <= WHOLE:
        return torch.arange(len(pids))
    generator = ctx.generator("attacks.protocol.sampling")
    order = torch.randperm(len(pids), generator=generator)
    people, person, counts = pids[order].unique(return_inverse=True, return_counts=True)
    # how many entries of the same person come before each one in that order
    rows = person.argsort(stable=True)
    before = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[person[rows]]
    somebody = people[people > 0]
    chosen = somebody[torch.randperm(len(somebody), generator=generator)[:PEOPLE]]
    kept = (before < ENTRIES) & torch.isin(people[person[rows]], chosen)
    return order[rows[kept]].sort().values


def note_sample(asked: Tensor, pids: Tensor) -> tuple[str, ...]:
    """Say how many of entries ``pids (N,)`` were ``asked (M,)`` about, unless all were."""
    if len(asked) == len(pids):
        return ()
    some, everybody = (len(of[of > 0].unique()) for of in (pids[asked], pids))
    return (
        f"so that time does not grow with the square of the gallery, {len(asked)} entries of "
        f"{some} people, drawn at random, are asked about, of {len(pids)} entries of {everybody} "
        "people; everybody's are there to be confused with them",
    )
