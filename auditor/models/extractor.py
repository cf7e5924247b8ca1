"""A network behind its preprocessing card: RGB images in [0, 1] in, float32 features out."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.errors import ModelError
from auditor.models.card import Card


class CardedExtractor(nn.Module):
    """The extractor an audit works on; it fits `auditor.types.FeatureExtractor`.

    Parameters keep their ``requires_grad``, for attacks on gradients and defenses that retrain.

    Args:
        network: takes what the card describes; moved and switched to evaluation by the caller.
        card: how to feed it and which output to read.
        device: where the network is.

    Attributes:
        feature_dim: length of a feature, found by a trial run on two images.
        input_size: (height, width) of the card.
        differentiable: whether that run let a gradient through to the images.

    Raises:
        ModelError: if the network does not take such images, or gives no feature per image.
    """

    gain: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, card: Card, device: torch.device = torch.device("cpu")
    ) -> None:
        super().__init__()
        self.network = network
        self.card = card
        self.input_size = (card.height, card.width)
        self.dtype = input_dtype(network)
        unit = 255.0 if card.value_range == "0..255" else 1.0
        # (unit · x − mean) / std as one multiply-add
        std = torch.tensor(card.std, device=device).view(1, 3, 1, 1)
        mean = torch.tensor(card.mean, device=device).view(1, 3, 1, 1)
        self.register_buffer("gain", unit / std, persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.eval()
        self.feature_dim, self.differentiable = self._trial_run()

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` of any size to features ``(B, feature_dim)`` float32.

        Raises:
            ModelError: if ``images`` has another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ModelError(
                f"an extractor takes images (B, 3, H, W), not {tuple(images.shape)}; "
                "stack pictures of one size and put the channels first"
            )
        features = self._pick(self.network(self.prepare(images)))
        if features.ndim == 4 and features.shape[2:] == (1, 1):
            features = features.flatten(1)
        features = features.float()
        # a malformed output is for the caller to name, not for the norm to stumble over
        return F.normalize(features) if self.card.l2_norm and features.ndim == 2 else features

    def prepare(self, images: Tensor) -> Tensor:
        """Images as the network takes them: resized, in its colour order, scaled and shifted."""
        images = images.to(self.gain.device)
        if images.shape[-2:] != self.input_size:
            images = F.interpolate(images, self.input_size, mode="bilinear", antialias=True)
        if self.card.colour == "bgr":
            images = images.flip(1)
        return torch.addcmul(self.shift, images, self.gain).to(self.dtype)

    def _pick(self, result: Any) -> Tensor:
        results = list(result.values()) if isinstance(result, Mapping) else result
        if isinstance(results, list | tuple):
            if self.card.output >= len(results):
                raise ModelError(
                    f"the model gives {len(results)} outputs, so there is no output "
                    f"{self.card.output}; set the card's output to 0–{len(results) - 1}"
                )
            results = results[self.card.output]
        elif self.card.output > 0:
            raise ModelError(
                f"the model gives one output, so there is no output {self.card.output}; "
                "leave the card's output at 0"
            )
        if not isinstance(results, Tensor):
            raise ModelError(
                f"the model gives {type(results).__name__}, not a tensor; "
                "wrap it so that it returns features (B, D)"
            )
        return results

    def _trial_run(self) -> tuple[int, bool]:
        """(feature length, whether gradients reach the images), without touching global state."""
        size = (2, 3, *self.input_size)
        images = torch.rand(size, generator=torch.Generator().manual_seed(0))
        images.requires_grad_()
        cuda = [self.gain.device] if self.gain.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), torch.enable_grad():
            try:
                features = self(images)
            except ModelError:
                raise
            except Exception as error:  # a stranger's network may raise anything
                raise ModelError(
                    f"the model does not take images of {self.card.height}×{self.card.width} "
                    f"(height × width): {reason(error)}; check the card's height and width"
                ) from error
            if features.ndim != 2 or len(features) != 2 or features.shape[1] < 2:
                raise ModelError(
                    f"two images give an output of shape {tuple(features.shape)}, not (2, D); "
                    "pick another output of the model with the card's output, or export it "
                    "without pooling or classifier heads that change the shape"
                )
            return features.shape[1], _gradient_reaches(features, images)


def reason(error: BaseException) -> str:
    """The one line of an exception's text that says what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # TorchScript puts its own stack trace first and the cause last
    line = lines[-1] if "TorchScript" in lines[0] else lines[0]
    return line.removeprefix("RuntimeError: ")[:200]


def input_dtype(network: nn.Module) -> torch.dtype:
    """The floating type a network takes: one exported in half precision takes that."""
    given = getattr(network, "input_dtype", None)
    if isinstance(given, torch.dtype):
        return given
    return next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)


def _gradient_reaches(features: Tensor, images: Tensor) -> bool:
    if not features.requires_grad:
        return False
    try:
        (gradient,) = torch.autograd.grad(features.sum(), images, allow_unused=True)
    except RuntimeError:
        return False
    return gradient is not None
