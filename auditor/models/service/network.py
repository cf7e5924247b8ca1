"""A network that runs elsewhere: pictures go out, features come back, and nothing else does."""

import logging
import os
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor, nn

from auditor.config import ServiceConfig
from auditor.errors import ModelError, UsageError
from auditor.models.service.client import Client
from auditor.models.service.messages import BINARY, KINDS, read_answer, read_ports, write_request
from auditor.models.service.meter import Meter

log = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")
DTYPES = {
    "FP16": torch.float16,
    "FP32": torch.float32,
    "FP64": torch.float64,
    "UINT8": torch.uint8,
}


class ServiceNetwork(nn.Module):
    """A model behind the Open Inference Protocol; it gives no gradients.

    Args:
        client: asks it.
        batch: pictures in a request.

    Attributes:
        input_dtype: the type of number it takes.

    Raises:
        ModelError: if the service does not answer, or has no model of images there.
    """

    def __init__(self, client: Client, batch: int) -> None:
        super().__init__()
        self.client = client
        said = client.get(client.url).plain()
        inputs, outputs = read_ports(said, "inputs"), read_ports(said, "outputs")
        if len(inputs) != 1 or inputs[0].kind not in KINDS or len(inputs[0].shape) not in (3, 4):
            taken = ", ".join(f"{port.name} {port.kind} {port.shape}" for port in inputs)[:200]
            raise ModelError(
                f"the service's model takes {taken or 'nothing'}; an extractor takes one input of "
                "images (B, 3, H, W)"
            )
        (self.port,), self.outputs = inputs, [port.name for port in outputs]
        fixed = self.port.shape[0] if len(self.port.shape) == 4 else -1
        self.batch = min(batch, fixed) if fixed > 0 else batch
        self.input_dtype = DTYPES[self.port.kind]
        self.binary = BINARY in _extensions(client)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ServiceNetwork":
        return self  # there is one service, and one count of what it was asked

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The model's outputs, in its own order, for images ``(B, 3, H, W)`` as it takes them."""
        answers = [self._ask(part) for part in images.detach().cpu().split(self.batch)]
        names = self.outputs or list(answers[0])
        try:
            return tuple(
                torch.from_numpy(np.concatenate([one[name] for one in answers])) for name in names
            )
        except (KeyError, ValueError):
            raise ModelError("the service's answers do not agree on the model's outputs") from None

    def _ask(self, images: Tensor) -> dict[str, np.ndarray]:
        body, headers = write_request(images.numpy(), self.port, binary=self.binary)
        answer = self.client.post(f"{self.client.url}/infer", body, headers, len(images))
        return read_answer(answer, len(images))


def _extensions(client: Client) -> list[str]:
    """What the server offers beyond the protocol; nothing if it does not say."""
    root = client.url[: client.url.rindex("/v2/models/")] + "/v2"
    try:
        said = client.get(root).plain()
    except ModelError:
        return []
    found = said.get("extensions") if isinstance(said, dict) else None
    return [str(name) for name in found] if isinstance(found, list) else []


def open_service(config: ServiceConfig, spent: int = 0) -> ServiceNetwork:
    """The model at a configured address.

    Args:
        config: where it is and how it may be asked.
        spent: pictures it was asked about in an earlier part of the run.

    Raises:
        UsageError: if the address is none, or the environment lacks a header's value.
        ModelError: if there is no such model.
    """
    check_address(config.url)
    if config.url.startswith("http://") and urlsplit(config.url).hostname not in LOOPBACK:
        log.warning("pictures and headers go to the service unencrypted; take https if it has it")
    client = Client(
        url=config.url.rstrip("/"),
        headers={name: _secret(name, held) for name, held in config.headers.items()},
        seconds=config.seconds,
        retries=config.retries,
        meter=Meter(budget=config.budget, rate=config.rate, spent=spent),
    )
    return ServiceNetwork(client, config.batch)


def check_address(url: str) -> None:
    """Make sure that ``url`` is where a model of the protocol may be.

    Raises:
        UsageError: if it is not.
    """
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError:
        named = None
    way_out = "give https://HOST/v2/models/NAME, or …/NAME/versions/VERSION"
    if not named or parts.scheme not in ("http", "https") or "/v2/models/" not in parts.path:
        raise UsageError(f"the model's address is none of the Open Inference Protocol; {way_out}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            f"the model's address holds more than an address; {way_out}, and secrets in the "
            "environment with model.service.headers"
        )


def _secret(header: str, variable: str) -> str:
    """A header's value, from the environment."""
    value = os.environ.get(variable)
    if not value:
        raise UsageError(
            f"the header {header!r} is to be sent to the service, and the environment has no "
            f"variable {variable!r}"
        )
    if "\r" in value or "\n" in value:
        raise UsageError(f"the environment's {variable!r} is no header: it has line breaks")
    return value
