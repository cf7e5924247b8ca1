"""A model behind the Open Inference Protocol, version 2: what it takes, and how it is asked."""

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.models.service.client import Answer, Client
from auditor.models.service.messages import (
    BINARY,
    KINDS,
    Port,
    read_answer,
    read_ports,
    write_request,
)

MODELS = "/v2/models/"
"""In the address of every model of the protocol, and of nothing else."""
DTYPES = {
    "FP16": torch.float16,
    "FP32": torch.float32,
    "FP64": torch.float64,
    "UINT8": torch.uint8,
}


@dataclass(frozen=True, kw_only=True)
class OpenInference:
    """How a model of the protocol is asked.

    Attributes:
        address: where questions go.
        port: the model's one input.
        outputs: their names, in the model's order.
        binary: whether tensors travel as they are, and not in JSON.
    """

    address: str
    port: Port
    outputs: tuple[str, ...]
    binary: bool

    @property
    def input_dtype(self) -> torch.dtype:
        """The type of number the model takes."""
        return DTYPES[self.port.kind]

    @property
    def fixed_batch(self) -> int | None:
        """The batch that the model was built for, if it was for one."""
        first = self.port.shape[0]
        return first if len(self.port.shape) == 4 and first > 0 else None

    def write(self, images: NDArray[Any]) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a question about ``images``."""
        return write_request(images, self.port, binary=self.binary)

    def read(self, answer: Answer, count: int) -> tuple[NDArray[Any], ...]:
        """Return the model's outputs for ``count`` images.

        Raises:
            ModelError: if the answer is not what the protocol says.
        """
        found = read_answer(answer, count)
        if self.outputs and set(self.outputs) - set(found):
            raise ModelError("the service's answers do not agree on the model's outputs")
        return tuple(found[name] for name in self.outputs or found)


def ask_what_it_is(client: Client) -> OpenInference:
    """Return what the model at the client's address takes and gives.

    Raises:
        ModelError: if the service does not answer, or has no model of images there.
    """
    url = client.url.rstrip("/")
    said = client.get(url).plain()
    inputs, outputs = read_ports(said, "inputs"), read_ports(said, "outputs")
    if len(inputs) != 1 or inputs[0].kind not in KINDS or len(inputs[0].shape) not in (3, 4):
        taken = ", ".join(f"{port.name} {port.kind} {port.shape}" for port in inputs)[:200]
        raise ModelError(
            f"the service's model takes {taken or 'nothing'}; an extractor takes one input of "
            "images (B, 3, H, W)"
        )
    return OpenInference(
        address=f"{url}/infer",
        port=inputs[0],
        outputs=tuple(port.name for port in outputs),
        binary=BINARY in _extensions(client),
    )


def _extensions(client: Client) -> list[str]:
    """Return what the server offers beyond the protocol; nothing if it does not say."""
    root = client.url[: client.url.rindex(MODELS)] + "/v2"
    try:
        said = client.get(root).plain()
    except ModelError:
        return []
    found = said.get("extensions") if isinstance(said, dict) else None
    return [str(name) for name in found] if isinstance(found, list) else []
