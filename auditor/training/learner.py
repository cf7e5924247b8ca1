"""One step of re-ID training: augment, embed, and sum the losses."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from auditor.errors import UsageError
from auditor.models.architectures.branches import Branches, branches
from auditor.models.extractor import CardedExtractor
from auditor.training.augment import augment
from auditor.training.losses import batch_hard
from auditor.training.recipe import Recipe
from auditor.training.sampler import Pictures


class Term(Protocol):
    """A further loss, such as a privacy defense's; an ``nn.Module``, so that it can learn too."""

    def __call__(self, views: Branches, images: Tensor, classes: Tensor, /) -> Tensor:
        """Return a scalar from views, augmented images ``(B, 3, H, W)`` in [0, 1] and classes."""
        ...


class Learner(pl.LightningModule):
    """Identity softmax with label smoothing on every identity view, triplets on every metric view.

    Args:
        extractor: the network and its card; trained in place.
        shown: the pictures to learn from.
        recipe: how.
        terms: name -> further loss, added with weight 1.
        seed_for: gives the seed of a named draw.
    """

    def __init__(
        self,
        extractor: CardedExtractor,
        shown: Pictures,
        recipe: Recipe,
        terms: Mapping[str, nn.Module],
        seed_for: Callable[[str], int],
    ) -> None:
        super().__init__()
        self.extractor, self.recipe, self.seed_for = extractor, recipe, seed_for
        self.shown = shown
        classes = shown.people
        heads = [nn.Linear(dim, classes, bias=False) for dim in identity_dims(extractor)]
        for head in heads:
            nn.init.normal_(head.weight, std=0.001)
        self.classifiers = nn.ModuleList(heads)
        self.terms = nn.ModuleDict(terms)
        self.history: list[dict[str, float]] = []
        self.sums: dict[str, Tensor] = {}
        self.given = {"classes": classes, "recipe": asdict(recipe), "terms": sorted(terms)}

    def on_train_epoch_start(self) -> None:
        """Make an epoch's randomness depend on its number, so that a resumed one repeats it."""
        torch.manual_seed(self.seed_for(f"epoch {self.current_epoch}"))
        if self._frozen_norm:
            for module in self.extractor.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        self._learn_parts()
        self.sums = {}

    def _learn_parts(self) -> None:
        """Let a network that labels body parts by itself look at everybody anew, as ISP does."""
        learn = getattr(self.extractor.network, "learn_parts", None)
        if learn is not None:
            draw = torch.Generator().manual_seed(self.seed_for(f"parts {self.current_epoch}"))
            learn((self.extractor.prepare(images) for images in self.shown.by_person()), draw)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Sum all losses on one batch of images ``(B, 3, H, W)`` and classes ``(B,)``."""
        images, classes = batch
        draw = self.seed_for(f"augment {self.current_epoch} {index} {self.global_rank}")
        images = augment(images, self.recipe, torch.Generator().manual_seed(draw))
        views = branches(self.extractor.network, self.extractor.prepare(images))
        losses = {name: term(views, images, classes) for name, term in self.terms.items()}
        losses |= self._own_losses(views, classes)
        for name, value in losses.items():
            self._count(name, value.detach())
        return torch.stack(list(losses.values())).sum()

    def _count(self, name: str, value: Tensor) -> None:
        self.sums[name] = value if name not in self.sums else self.sums[name] + value

    def _own_losses(self, views: Branches, classes: Tensor) -> dict[str, Tensor]:
        losses = {}
        if self.recipe.softmax:
            pairs = zip(self.classifiers, views.identity, strict=True)
            logits = [classifier(view.float()) for classifier, view in pairs]
            parts = [F.cross_entropy(x, classes, label_smoothing=self.recipe.smoothing)
                     for x in logits]  # fmt: skip
            losses["softmax"] = self.recipe.softmax * torch.stack(parts).mean()
            right = torch.stack([(x.argmax(1) == classes).float().mean() for x in logits])
            self._count("top1", right.mean())
        if self.recipe.triplet and views.metric:
            apart = [self._apart(view.float(), classes) for view in views.metric]
            losses["triplet"] = self.recipe.triplet * torch.stack(apart).mean()
        if views.own is not None:
            losses["own"] = views.own
        return losses

    def _apart(self, features: Tensor, classes: Tensor) -> Tensor:
        # compared as the deployment will compare them
        if self.extractor.card.distance == "cosine":
            features = F.normalize(features)
        return batch_hard(features, classes, self.recipe.margin)

    def on_train_epoch_end(self) -> None:
        """Keep the epoch's mean losses and training accuracy."""
        steps = max(1, int(self.trainer.num_training_batches))
        means = {name: float(total) / steps for name, total in self.sums.items()}
        self.history.append({"epoch": self.current_epoch + 1, **means})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW; the rate rises linearly, then falls along a cosine to nothing."""
        heads = [*self.classifiers.parameters(), *self.terms.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.extractor.parameters() if p.requires_grad]},
            {"params": heads, "lr": self.recipe.lr * self.recipe.head_lr},
        ]
        optimizer = torch.optim.AdamW(groups, self.recipe.lr, weight_decay=self.recipe.weight_decay)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        warm = max(1, round(steps * self.recipe.warm_up))

        def factor(step: int) -> float:
            decay = 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
            return min(1.0, (step + 1) / warm) * decay

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note what the checkpoint is of, and how the training went so far."""
        checkpoint["given"], checkpoint["history"] = self.given, self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another training.

        Raises:
            UsageError: naming what differs.
        """
        theirs = checkpoint.get("given", {})
        other = [name for name, value in self.given.items() if theirs.get(name) != value]
        if other:
            raise UsageError(
                f"the interrupted training had another {' and '.join(other)}; repeat its settings "
                "to resume it, or start over with --overwrite"
            )
        self.history = list(checkpoint["history"])

    @property
    def _frozen_norm(self) -> bool:
        if self.recipe.norm == "auto":
            return folded(self.extractor.network)
        return self.recipe.norm == "freeze"


def identity_dims(extractor: CardedExtractor) -> list[int]:
    """Return the lengths of the identity views, found by a trial run in evaluation mode."""
    height, width = extractor.input_size
    images = torch.full((2, 3, height, width), 0.5, device=extractor.gain.device)
    with torch.no_grad():
        views = branches(extractor.eval().network, extractor.prepare(images))
    return [view.shape[1] for view in views.identity]


def folded(network: nn.Module) -> bool:
    """Return whether normalisation statistics were folded into the weights, as exports do.

    What remains then looks freshly made, zero mean and unit variance, but for its learned biases.
    Most layers decide: an export leaves some as they were, such as those after a linear layer.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return 2 * sum(_looks_folded(norm) for norm in norms) > len(norms)


def _looks_folded(norm: nn.modules.batchnorm._BatchNorm) -> bool:
    mean, var, bias = norm.running_mean, norm.running_var, norm.bias
    if mean is None or var is None or bias is None:
        return False
    return bool(not mean.any() and (var - 1).abs().max() < 1e-4 and bias.any())
