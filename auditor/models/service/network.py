"""A network that runs elsewhere: pictures go out, features come back, and nothing else does."""

import logging
import os
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auditor.config import ServiceConfig
from auditor.errors import ModelError, UsageError
from auditor.models.service.client import Answer, Client
from auditor.models.service.meter import Meter
from auditor.models.service.open_inference import MODELS, ask_what_it_is
from auditor.models.service.pictures import PicturesInJson

log = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Form(Protocol):
    """What questions to a service look like, and its answers."""

    @property
    def address(self) -> str:
        """Where questions go."""

    @property
    def input_dtype(self) -> torch.dtype:
        """The type of number that images are sent in."""

    @property
    def fixed_batch(self) -> int | None:
        """The most images that a question may contain, if the model says so itself."""

    def write(self, images: NDArray[Any]) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a question."""

    def read(self, answer: Answer, count: int) -> tuple[NDArray[Any], ...]:
        """Return the outputs for so many images, or a `ModelError`."""


class ServiceNetwork(nn.Module):
    """A model that a service runs; it gives no gradients.

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
        self.form = _form(client)
        self.batch = min(batch, self.form.fixed_batch or batch)
        self.input_dtype = self.form.input_dtype

    def __deepcopy__(self, memo: dict[int, Any]) -> "ServiceNetwork":
        return self  # there is one service, and one count of what it was asked

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the model's outputs, in its order, for preprocessed images ``(B, 3, H, W)``."""
        answers = [self._ask(part) for part in images.detach().cpu().split(self.batch)]
        try:
            outputs = [np.concatenate(parts) for parts in zip(*answers, strict=True)]
        except ValueError:
            raise ModelError("the service's answers do not agree on the model's outputs") from None
        return tuple(map(torch.from_numpy, outputs))

    def _ask(self, images: Tensor) -> tuple[NDArray[Any], ...]:
        body, headers = self.form.write(images.numpy())
        answer = self.client.post(self.form.address, body, headers, len(images))
        return self.form.read(answer, len(images))


def _form(client: Client) -> Form:
    """Return how the model at the client's address is asked; the address says it."""
    if speaks_open_inference(client.url):
        return ask_what_it_is(client)
    return PicturesInJson(address=client.url)


def speaks_open_inference(url: str) -> bool:
    """Return whether ``url`` is that of a model of the Open Inference Protocol."""
    return MODELS in urlsplit(url).path


def open_service(config: ServiceConfig, spent: int = 0) -> ServiceNetwork:
    """Return the model at a configured address.

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
        url=config.url,
        headers={name: _secret(name, held) for name, held in config.headers.items()},
        seconds=config.seconds,
        retries=config.retries,
        meter=Meter(budget=config.budget, rate=config.rate, spent=spent),
    )
    return ServiceNetwork(client, config.batch)


def check_address(url: str) -> None:
    """Make sure that ``url`` is where a service may be, and contains no secret.

    Raises:
        UsageError: if it is not.
    """
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError:
        named = None
    way_out = "give https://HOST/v2/models/NAME, or the address that takes pictures in JSON"
    if not named or parts.scheme not in ("http", "https"):
        raise UsageError(f"the model's address is not that of a service; {way_out}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            f"the model's address contains more than an address; {way_out}, and secrets in the "
            "environment with model.service.headers"
        )


def _secret(header: str, variable: str) -> str:
    """Return a header's value, from the environment."""
    value = os.environ.get(variable)
    if not value:
        raise UsageError(
            f"the header {header!r} is to be sent to the service, and the environment has no "
            f"variable {variable!r}"
        )
    if "\r" in value or "\n" in value:
        raise UsageError(f"the environment's {variable!r} is not a header: it has line breaks")
    return value
