"""Invented units, half of which are trained on, by which a training tells what it gives away.

Steinke, Nasr and Jagielski ("Privacy auditing with one (1) training run", NeurIPS 2023): each
canary takes part with probability one half, and whoever sees the result says which ones did. How
often that is right bounds ε from below, whatever the accountant says. Canaries are coloured noise
under the name of a random training person: nobody's data, and remembered or not by themselves.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from auditor.metrics.dp import one_run_bound
from auditor.models.extractor import CardedExtractor
from auditor.report import AuditedEpsilon
from defenses.dp_sgd.randomness import SecretStream
from defenses.dp_sgd.student import Student

CONFIDENCE = 0.95
CHUNK = 64


@dataclass(frozen=True, eq=False)
class Canaries:
    """What is invented for one training.

    Attributes:
        images: ``(M, views, 3, H, W)``.
        classes: ``(M,)`` whose name they bear.
        included: ``(M,)`` which ones are trained on.
    """

    images: Tensor
    classes: Tensor
    included: Tensor

    @classmethod
    def draw(
        cls, count: int, views: int, size: tuple[int, int], people: int, stream: SecretStream
    ) -> "Canaries":
        """Return ``count`` canaries of ``views`` pictures, among ``people`` names."""
        pixels = stream.uniform(count * views * 3 * size[0] * size[1])
        names = (stream.uniform(count) * people).astype(np.int64)
        return cls(
            torch.from_numpy(pixels).float().reshape(count, views, 3, *size),
            torch.from_numpy(names),
            torch.from_numpy(stream.uniform(count) < 0.5),
        )

    def __len__(self) -> int:
        return len(self.classes)

    def score(self, student: Student, extractor: CardedExtractor) -> Tensor:
        """``(M,)`` log-probability of a canary's name, by the network and its classifiers."""
        found = []
        device = extractor.gain.device
        was_training = student.training
        student.eval()
        with torch.no_grad():
            for images, names in zip(
                self.images.split(CHUNK), self.classes.split(CHUNK), strict=True
            ):
                logits = student(extractor.prepare(images.flatten(0, 1).to(device)))
                chances = logits.log_softmax(-1).mean(0).unflatten(0, images.shape[:2]).mean(1)
                found.append(chances.cpu().gather(1, names[:, None])[:, 0])
        student.train(was_training)
        return torch.cat(found) if found else torch.zeros(0)

    def audit(self, gained: Tensor, delta: float, unit: str) -> AuditedEpsilon:
        """Return the bound, from how much more each one's name became likely."""
        scores, included = gained.double().numpy(), self.included.numpy()
        bound = one_run_bound(scores, included, delta, CONFIDENCE)
        return AuditedEpsilon(
            epsilon=bound.epsilon,
            epsilon_gaussian=None,
            ceiling=bound.ceiling,
            confidence=CONFIDENCE,
            trials=len(self),
            pair=f"{len(self)} invented {unit} units, each trained on with probability one half",
        )


class WithCanaries(Dataset[tuple[Tensor, Tensor]]):
    """Units, and behind them the canaries that are trained on.

    Args:
        units: the real ones.
        canaries: invented ones.
    """

    def __init__(
        self, units: Dataset[tuple[Tensor, Tensor]], real: int, canaries: Canaries
    ) -> None:
        self.units, self.real, self.canaries = units, real, canaries
        self.rows = canaries.included.nonzero().flatten().tolist()

    def __len__(self) -> int:
        return self.real + len(self.rows)

    def __getitem__(self, unit: int) -> tuple[Tensor, Tensor]:
        """Return pictures ``(views, 3, H, W)`` and their class ``()``."""
        if unit < self.real:
            return self.units[unit]
        row = self.rows[unit - self.real]
        return self.canaries.images[row], self.canaries.classes[row]
