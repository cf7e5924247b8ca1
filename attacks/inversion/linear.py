"""The best linear guess of a picture, in closed form: where the inverter starts from.

Ridge regression from features to pixels takes a second and already paints clothing colours; the
network then spends its training on what is not linear. Under a noisy release the ridge is the
Wiener filter of that noise.
"""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from torch import Tensor, nn

LARGEST = (64, 32)
"""Linear pictures have no finer detail than this, and the matrix stays small."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge penalties tried, per training picture."""
HELD_OUT = 5
"""One in so many people chooses the penalty."""


class LinearDecoder(nn.Module):
    """Standardised features ``(B, D)`` to pictures ``(B, 3, H, W)``, fixed once fitted."""

    weight: Tensor
    bias: Tensor

    def __init__(self, features: Tensor, pixels: Tensor, pids: Tensor) -> None:
        """Fit on features ``(N, D)``, uint8 pixels ``(N, 3, H, W)`` and people ``(N,)``."""
        super().__init__()
        self.size = pixels.shape[-2:]
        small = (min(self.size[0], LARGEST[0]), min(self.size[1], LARGEST[1]))
        targets = F.adaptive_avg_pool2d(pixels.float().div(255), small).flatten(1).cpu().numpy()
        ridge = fit_ridge(features.cpu().numpy(), targets, pids.numpy())
        self.small = small
        self.register_buffer("weight", torch.from_numpy(ridge.coef_).float())
        self.register_buffer("bias", torch.from_numpy(np.asarray(ridge.intercept_)).float())

    def forward(self, features: Tensor) -> Tensor:
        """Return the linear guess, not yet clipped to [0, 1]."""
        flat = F.linear(features, self.weight, self.bias)
        return F.interpolate(flat.unflatten(1, (3, *self.small)), self.size, mode="bilinear")


class LinearMap(nn.Module):
    """Standardised features ``(B, D)`` to anything ``(B, E)``, fixed once fitted."""

    weight: Tensor
    bias: Tensor

    def __init__(self, features: Tensor, targets: Tensor, pids: Tensor) -> None:
        """Fit on features ``(N, D)``, targets ``(N, E)`` and people ``(N,)``."""
        super().__init__()
        ridge = fit_ridge(features.cpu().numpy(), targets.cpu().numpy(), pids.numpy())
        self.register_buffer("weight", torch.from_numpy(ridge.coef_).float())
        self.register_buffer("bias", torch.from_numpy(np.asarray(ridge.intercept_)).float())
        self.to(features.device)

    def forward(self, features: Tensor) -> Tensor:
        """Return the linear guess."""
        return F.linear(features, self.weight, self.bias)


def fit_ridge(features: np.ndarray, targets: np.ndarray, pids: np.ndarray) -> Ridge:
    """Return the ridge ``(N, D)`` to ``(N, E)`` that serves people it has not seen best."""
    people = np.unique(pids)
    held = np.isin(pids, people[::HELD_OUT])
    if len(people) <= HELD_OUT:
        return Ridge(alpha=len(features)).fit(features, targets)

    def error(penalty: float) -> float:
        ridge = Ridge(alpha=penalty * len(features)).fit(features[~held], targets[~held])
        return float(np.mean((ridge.predict(features[held]) - targets[held]) ** 2))

    best = min(PENALTIES, key=error)
    return Ridge(alpha=best * len(features)).fit(features, targets)
