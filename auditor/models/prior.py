"""A learnt prior for pictures: what people look like, before anything is known about one of them.

A KL autoencoder (Rombach et al., CVPR 2022, §3.1; `AutoencoderKL` of the diffusers library) maps a
picture to a small grid of latents and back, and the principal axes of the latents of many people
tell which grids show somebody. For the preset ``small``::

    picture (B, 3, 64, 32) ─2×2 pixels to channels─▶ (B, 12, 32, 16) ─encoder─▶ (B, 8, 8, 4)
            ─flat, principal axes─▶ code (B, 128), of mean 0 and deviation 1

A file of a prior is data: it names one of `CATALOGUE` and holds its weights. The one that ships
with the auditor has seen synthetic people alone; `auditor.training.train_prior` made it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from auditor.artifacts.atomic import write
from auditor.artifacts.regular_file import is_regular
from auditor.console import printable
from auditor.errors import EnvironmentUnmetError, ModelError

WEIGHTS = Path(__file__).with_name("prior.safetensors")
"""The shipped prior of synthetic people, float16."""

KEY = "reid-privacy-auditor.prior"
"""Under which a file says what prior it holds."""

FOLD = 2
"""So many pixels in height and width become channels of one, which spares the finest layer."""

FAINTEST = 1e-6
"""Axes with less than this share of the largest variance are rounding, and count as if with it."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large a prior is.

    Attributes:
        size: (height, width) of its pictures.
        channels: of the autoencoder at each resolution, the finest first.
        latents: channels of the latent grid.
        codes: principal axes of the grids that are kept.
    """

    size: tuple[int, int]
    channels: tuple[int, ...]
    latents: int
    codes: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents."""
        shrunk = FOLD << (len(self.channels) - 1)
        return self.latents, self.size[0] // shrunk, self.size[1] // shrunk


CATALOGUE: Mapping[str, Shape] = {
    "small": Shape(size=(64, 32), channels=(24, 48, 64), latents=8, codes=128),
    "large": Shape(size=(128, 64), channels=(96, 192, 256, 256), latents=16, codes=256),
}
"""Preset -> its shape: ``small`` is learned in minutes on a processor, ``large`` wants a GPU."""


class PicturePrior(nn.Module):
    """Encodes pictures of people as codes of mean 0 and deviation 1, and decodes them."""

    centre: Tensor
    axes: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        depth, pixels = len(shape.channels), 3 * FOLD**2
        self.autoencoder = AutoencoderKL(
            in_channels=pixels,
            out_channels=pixels,
            down_block_types=("DownEncoderBlock2D",) * depth,
            up_block_types=("UpDecoderBlock2D",) * depth,
            block_out_channels=shape.channels,
            layers_per_block=1,
            latent_channels=shape.latents,
            norm_num_groups=8,
            mid_block_add_attention=False,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
        flat = math.prod(shape.grid)
        self.register_buffer("centre", torch.zeros(flat))
        self.register_buffer("axes", torch.eye(shape.codes, flat))

    def encode(self, images: Tensor) -> Tensor:
        """Return codes ``(B, K)`` of images ``(B, 3, H, W)`` in [0, 1]."""
        steps = self.latents(images)[0].flatten(1) - self.centre
        codes: Tensor = steps @ self.axes.T / self.axes.square().sum(1)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Return images ``(B, 3, H, W)`` in [0, 1] of codes ``(B, K)``."""
        return self.picture(self.grids(codes))

    def grids(self, codes: Tensor) -> Tensor:
        """Return latents ``(B, C, h, w)`` of codes ``(B, K)``."""
        grids: Tensor = (self.centre + codes @ self.axes).unflatten(1, self.shape.grid)
        return grids

    def latents(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and logarithms of variances ``(B, C, h, w)`` of the latents of images."""
        folded = F.pixel_unshuffle(images * 2 - 1, FOLD)
        drawn = self.autoencoder.encode(folded).latent_dist
        return drawn.mean, drawn.logvar

    def picture(self, grids: Tensor) -> Tensor:
        """Return images ``(B, 3, H, W)`` in [0, 1] of latents ``(B, C, h, w)``."""
        return self.drawn(grids).clamp(0, 1)

    def drawn(self, grids: Tensor) -> Tensor:
        """Return the same, not yet clipped, for training."""
        folded: Tensor = self.autoencoder.decode(grids).sample
        return (F.pixel_shuffle(folded, FOLD) + 1) / 2

    def learn_axes(self, grids: Tensor) -> None:
        """Take the principal axes of latents ``(N, C, h, w)``, each as long as a deviation."""
        flat = grids.flatten(1).double()
        self.centre.copy_(flat.mean(0))
        variances, columns = torch.linalg.eigh(torch.cov(flat.T))
        kept = slice(-self.shape.codes, None)
        lengths = variances[kept].clamp_min(FAINTEST * variances[-1]).sqrt()
        self.axes.copy_((columns[:, kept] * lengths).T.flip(0))


def new_prior(preset: str) -> PicturePrior:
    """Make a prior of that name in `CATALOGUE`, its weights still random."""
    return PicturePrior(CATALOGUE[preset])


def save_prior(path: Path, prior: PicturePrior, preset: str, facts: Mapping[str, Any]) -> None:
    """Write weights in float16 and what they are of, whole or not at all.

    Args:
        path: a safetensors file.
        prior: of the shape that ``preset`` names.
        preset: a name in `CATALOGUE`.
        facts: where it comes from: data, settings, seed.
    """
    text = json.dumps({"preset": preset, "facts": dict(facts)}, sort_keys=True)
    state = {name: w.detach().cpu().half().contiguous() for name, w in prior.state_dict().items()}
    write(path, safetensors.torch.save(state, {KEY: text}))


def load_prior(path: Path = WEIGHTS) -> tuple[PicturePrior, Mapping[str, Any]]:
    """Return a prior in evaluation mode, and what its file says about it.

    Raises:
        EnvironmentUnmetError: if there is no such file.
        ModelError: if it holds no prior, or one that is not in `CATALOGUE`.
    """
    said = _read_facts(path)
    # whoever audits with it must not see torch's generator move
    with torch.random.fork_rng(devices=[]):
        prior = new_prior(said["preset"])
    state = {name: w.float() for name, w in safetensors.torch.load_file(path).items()}
    try:
        prior.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"{path} does not fit the preset that it names: {printable(str(error), 300)}"
        ) from None
    if not all(torch.isfinite(w).all() for w in state.values()):
        raise ModelError(f"{path} contains weights that are no numbers; train the prior again")
    return prior.eval().requires_grad_(False), said["facts"]


def read_preset(path: Path) -> str:
    """Return the name in `CATALOGUE` of a prior's shape; its weights are not read.

    Raises:
        EnvironmentUnmetError: if there is no such file.
        ModelError: if it holds no prior, or one that is not in `CATALOGUE`.
    """
    return str(_read_facts(path)["preset"])


def _read_facts(path: Path) -> dict[str, Any]:
    if not is_regular(path):
        raise EnvironmentUnmetError(
            f"{path}: there is no such prior; make one with audit prior train --data DIR --out FILE"
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except (safetensors.SafetensorError, OSError):
        text = None
    try:
        said = json.loads(text or "")
        known, facts = said["preset"] in CATALOGUE, dict(said["facts"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{path} contains no prior; audit prior train writes one") from None
    if not known:
        named = printable(str(said["preset"]), 80)
        raise ModelError(f"{path} names the preset {named}; known are {', '.join(CATALOGUE)}")
    return {"preset": said["preset"], "facts": facts}
