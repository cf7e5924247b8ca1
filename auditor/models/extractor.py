"""A network behind its preprocessing card: RGB images in [0, 1] in, float32 features out."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditor.console import pathless, printable
from auditor.errors import ModelError
from auditor.models.card import Card
from auditor.resizing import resize_pixels

LONGEST_REASON = 2000
"""Characters of a network's complaint; onnxruntime says what is wrong after some hundreds."""


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
        singly: whether the network takes one image at a time only.
        fast: whether it computes in bfloat16 where no gradient is wanted; not at first.

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
        self.input_size: tuple[int, int] = card.input_size
        self.singly = self.fast = False
        set_precision(network, card.precision)
        self.dtype = _dtype(network, card)
        unit = 255.0 if card.value_range == "0..255" else 1.0
        # (unit · x − mean) / std as one multiply-add
        std = torch.tensor(card.std, device=device).view(1, 3, 1, 1)
        mean = torch.tensor(card.mean, device=device).view(1, 3, 1, 1)
        self.register_buffer("gain", unit / std, persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.eval()
        self.feature_dim, self.differentiable = self._trial_run()

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` of any size to features ``(B, feature_dim)`` float32.

        Raises:
            ModelError: if ``images`` has another shape, or the network fails on it.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ModelError(
                f"an extractor takes images (B, 3, H, W), not {tuple(images.shape)}; "
                "stack pictures of one size and put the channels first"
            )
        features = self._features(images)
        if self.card.flip:
            features = (features + self._features(images.flip(3))) / 2
        # a malformed output is for the caller to name, not for the norm to stumble over
        return F.normalize(features) if self.card.l2_norm and features.ndim == 2 else features

    def _features(self, images: Tensor) -> Tensor:
        prepared = self.prepare(images)
        if self.singly:
            features = torch.cat([self._pick(self._answer(one)) for one in prepared.split(1)])
        else:
            features = self._pick(self._answer(prepared))
        if features.ndim == 4 and features.shape[2:] == (1, 1):
            features = features.flatten(1)
        return features.float()

    def prepare(self, images: Tensor) -> Tensor:
        """Images as the network takes them: resized, in its colour order, scaled and shifted."""
        images = resize_pixels(images.to(self.gain.device), self.input_size)
        if self.card.colour == "bgr":
            images = images.flip(1)
        pixels = torch.addcmul(self.shift, images, self.gain)
        if self.dtype == torch.uint8:
            pixels = pixels.round().clamp(0, 255)
        if self.card.axes == "nhwc":
            pixels = pixels.permute(0, 2, 3, 1).contiguous()
        return pixels.to(self.dtype)

    def _answer(self, prepared: Tensor) -> Any:
        """Return whatever the network gives; a failure says on what."""
        sides = [torch.full(prepared.shape[:1], side) for side in self.card.side_inputs]
        try:
            with self._precision():
                return self.network(prepared, *(side.to(prepared.device) for side in sides))
        except ModelError:
            raise
        except Exception as error:  # a stranger's network may raise anything
            raise ModelError(failure(error, prepared)) from error

    def _precision(self) -> AbstractContextManager[object]:
        if not self.fast or torch.is_grad_enabled():
            return nullcontext()
        return torch.autocast(self.gain.device.type, torch.bfloat16)

    def _pick(self, result: Any) -> Tensor:
        output = self.card.output
        results = list(result.values()) if isinstance(result, Mapping) else result
        if isinstance(results, list | tuple):
            if output is None and len(results) > 1:
                shapes = ", ".join(f"{i}: {_shape(one)}" for i, one in enumerate(results))
                raise ModelError(
                    f"the model gives {len(results)} outputs ({shapes}); say which one contains "
                    "the features with model.card.output"
                )
            if (output or 0) >= len(results):
                raise ModelError(
                    f"the model gives {len(results)} outputs, so there is no output "
                    f"{output or 0}; set the card's output to 0–{len(results) - 1}"
                )
            results = results[output or 0]
        elif output:
            raise ModelError(
                f"the model gives one output, so there is no output {output}; "
                "leave the card's output at 0"
            )
        if not isinstance(results, Tensor):
            raise ModelError(
                f"the model gives {type(results).__name__}, not a tensor; "
                "wrap it so that it returns features (B, D)"
            )
        return results

    def _trial_run(self) -> tuple[int, bool]:
        """(feature length, whether gradients reach the images), without touching global state.

        A network that fails on two images and not on one was exported for one, and gets them so.
        """
        size = (2, 3, *self.input_size)
        images = torch.rand(size, generator=torch.Generator().manual_seed(0))
        images.requires_grad_()
        cuda = [self.gain.device] if self.gain.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), torch.enable_grad():
            try:
                features = self(images)
            except ModelError as error:
                self.singly = isinstance(error.__cause__, Exception)
                if not self.singly:
                    raise
                try:
                    features = self(images)
                except ModelError:
                    raise error from error.__cause__
            if features.ndim != 2 or len(features) != 2 or features.shape[1] < 2:
                raise ModelError(
                    f"two images give an output of shape {tuple(features.shape)}, not (2, D); "
                    "pick another output of the model with the card's output, or export it "
                    "without pooling or classifier heads that change the shape"
                )
            return features.shape[1], _gradient_reaches(features, images)


WAYS_OUT = (
    (r"out of memory|can't allocate", "free memory, or take a smaller model"),
    (r"cuda|cudnn|nvidia", "it was exported for a GPU: run it there (--device cuda), or export it "
     "on a processor"),
    (r"half|bfloat16|float16|scalar type|dtype|tensor\((float|uint8|double)", "check the card's "
     "precision and pixels"),
    (r"missing \d+ required positional|missing value for|required argument", "give what it takes "
     "beside images with the card's side_inputs"),
    (r"channel|size|shape|dimension|stride", "check the card's height, width and axes"),
)  # fmt: skip
"""What a network's complaint is about, and what helps."""


def failure(error: Exception, prepared: Tensor) -> str:
    """Return what a network failed on: its own words, batch, input, precision and device."""
    said = reason(error)
    count, *rest = prepared.shape
    what = "×".join(map(str, rest))
    hint = next((way for about, way in WAYS_OUT if re.search(about, said, re.IGNORECASE)), "")
    precision = str(prepared.dtype).removeprefix("torch.")
    return (
        f"the model does not take a batch of {count} images of {what} ({precision} on "
        f"{prepared.device}): {said}" + (f"; {hint}" if hint else "")
    )


def reason(error: BaseException) -> str:
    """Return the line of an exception's text that says what went wrong, without users' folders."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # TorchScript puts its own stack trace first and the cause last
    line = lines[-1] if "TorchScript" in lines[0] else lines[0]
    return printable(pathless(line.removeprefix("RuntimeError: ")), LONGEST_REASON)


def _shape(result: object) -> str:
    if isinstance(result, Tensor):
        return "×".join(map(str, result.shape))
    return type(result).__name__


def _dtype(network: nn.Module, card: Card) -> torch.dtype:
    if card.pixels == "uint8":
        return torch.uint8
    taken = input_dtype(network)
    if taken == torch.uint8:
        raise ModelError(
            "the model takes whole pixels; set the card's pixels to uint8, value_range to 0..255, "
            "mean to 0 and std to 1"
        )
    return taken


def set_precision(network: nn.Module, precision: str) -> None:
    """Let a network compute in another precision than its file is stored in."""
    if precision != "stored" and next(network.parameters(), None) is not None:
        network.to(getattr(torch, precision))


def input_dtype(network: nn.Module) -> torch.dtype:
    """Return the type a network takes: one exported in half precision takes that."""
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
