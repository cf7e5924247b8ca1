"""The server's side of federated averaging (McMahan et al., AISTATS 2017), by either engine."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from auditor.errors import EnvironmentUnmetError

State = Mapping[str, Tensor]
Average = Callable[[Sequence[State], Sequence[int]], dict[str, Tensor]]
Engine = Literal["own", "flower"]


def averaging(engine: Engine) -> Average:
    """The mean of the clients' weights, as the engine takes it.

    Raises:
        EnvironmentUnmetError: if Flower is asked for and not installed.
    """
    return own_average if engine == "own" else _Flower()


def own_average(states: Sequence[State], images: Sequence[int]) -> dict[str, Tensor]:
    """The mean of ``states``, each weighted by how many images it was learned from.

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


class _Flower:
    """Flower's own FedAvg strategy on the clients' replies, in this process.

    Its simulation engine would start Ray, servers and sockets to bring the same replies together;
    none of that changes the mean, and all of it may fail where an audit runs.
    """

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its dependencies' own deprecations
                import flwr.app
                import flwr.serverapp.strategy
        except ImportError:
            raise EnvironmentUnmetError(
                "Flower is not installed; install the extra reid-privacy-auditor[federated], or "
                "use engine: own, which takes the same mean"
            ) from None
        logging.getLogger("flwr").setLevel(logging.ERROR)
        self.app: Any = flwr.app
        self.strategy: Any = flwr.serverapp.strategy.FedAvg()

    def __call__(self, states: Sequence[State], images: Sequence[int]) -> dict[str, Tensor]:
        """See `own_average`."""
        pairs = enumerate(zip(states, images, strict=True), start=1)
        replies = [self._reply(client, state, count) for client, (state, count) in pairs]
        mean, _ = self.strategy.aggregate_train(1, replies)
        return {
            name: torch.from_numpy(mean[name].numpy()).to(weight)
            if weight.is_floating_point()
            else weight.clone()
            for name, weight in states[0].items()
        }

    def _reply(self, client: int, state: State, images: int) -> Any:
        weights = {
            name: self.app.Array(weight.cpu().numpy())
            for name, weight in state.items()
            if weight.is_floating_point()
        }
        content = {
            "arrays": self.app.ArrayRecord(weights),
            "metrics": self.app.MetricRecord({"num-examples": images}),
        }
        sender = self.app.Metadata(
            run_id=1,
            message_id="",
            src_node_id=client,
            dst_node_id=0,
            reply_to_message_id="",
            group_id="",
            created_at=0.0,
            ttl=1.0,
            message_type="train",
        )
        return self.app.Message(content=self.app.RecordDict(content), metadata=sender)
