"""The extractors a membership adversary trains to learn what being trained on looks like."""

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from auditor.data.images import load_pixels
from auditor.models.card import card_from
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import ReferenceNet
from auditor.training import Batches, fit, one_cycle
from auditor.types import FeatureExtractor, RunContext, Split


def train_shadow(
    split: Split,
    *,
    size: tuple[int, int],
    width: int,
    epochs: int,
    batch_size: int,
    lr: float,
    name: str,
    ctx: RunContext,
) -> FeatureExtractor:
    """Return a small network with a softmax over the people of ``split``; ``name`` seeds it.

    Args:
        split: the people it memorises.
        size: (height, width) it sees.
        width: channels of its stem.
        epochs: passes over the split.
        batch_size: pictures per step.
        lr: peak learning rate.
        name: of its randomness.
        ctx: where it is trained.
    """
    people, labels = split.pids.unique(return_inverse=True)
    with ctx.randomness(name):
        shadow = _Shadow(len(people), size, width, lr).train()
        columns = load_pixels(split.images, size).to(ctx.device), labels.to(ctx.device)
        batches = Batches(columns, batch_size, ctx.generator(name))
        fit(shadow, batches, epochs=epochs, ctx=ctx, detail="shadow extractor")
    return shadow.extractor.to(ctx.device)


class _Shadow(pl.LightningModule):
    """The auditor's reference architecture, narrow, with a softmax over people on its neck."""

    def __init__(self, people: int, size: tuple[int, int], width: int, lr: float) -> None:
        super().__init__()
        card = card_from("torchreid", {"height": size[0], "width": size[1], "l2_norm": True})
        self.extractor = CardedExtractor(ReferenceNet(width=width), card)
        self.classifier = nn.Linear(self.extractor.feature_dim, people, bias=False)
        self.lr = lr

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        pixels, labels = batch
        # half of each batch mirrored, as re-ID models are trained
        images = torch.cat([pixels[::2], pixels[1::2].flip(3)]).float() / 255
        labels = torch.cat([labels[::2], labels[1::2]])
        features = self.extractor.network(self.extractor.prepare(images))
        return F.cross_entropy(self.classifier(features), labels)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return one_cycle(self, self.lr, weight_decay=5e-4)
