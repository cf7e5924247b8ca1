"""The server's side of federated averaging (McMahan et al., AISTATS 2017)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def average(states: Sequence[State], images: Sequence[int]) -> dict[str, Tensor]:
    """Return the mean of ``states``, each weighted by how many images it was learned from.

    What is no floating-point number, such as a counter of batches, is the first client's.
    """
    shares = torch.tensor(images, dtype=torch.float64) / sum(images)

    def mean(name: str) -> Tensor:
        first = states[0][name]
        if not first.is_floating_point():
            return first.clone()
        parts = zip(shares.tolist(), states, strict=True)
        return sum((s * state[name].double() for s, state in parts), start=0 * first.double()).to(
            first.dtype
        )

    return {name: mean(name) for name in states[0]}
