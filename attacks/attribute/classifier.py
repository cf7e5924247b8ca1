"""What are they like? Attributes of people whom the adversary has never seen."""

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from attacks.attribute.labels import MEASURABLE
from attacks.attribute.learning import Known, Learn, Reader, pool_entries, read_attributes
from attacks.attribute.reference import Reading
from attacks.learners.standardising import Standardise
from auditor.plugins.declaring import checked_dataclass
from auditor.training import Batches, fit, one_cycle
from auditor.types import MISSING, AttackResult, RunContext, Target


@checked_dataclass
class AttributeClassifier(Reading):
    """Infers annotated attributes (sex, age, clothing, bags) from stored embeddings.

    Threat model: has the whole stored gallery, without names, and own annotated pictures of other
    people, about as many of each as the gallery has; may query the extractor on those and knows how
    the gallery is protected and released; infers each attribute of every stored entry. People
    learned from and people attacked are disjoint.

    Source: the attribute attack of PIS (SCIS 69(1), 2026, §4.1), which reports F1. Differences:
    features instead of images are attacked, one multi-head network serves all attributes, it reads
    the same pooled rows as `attribute_logistic`, and balanced accuracy is the headline, because F1
    rises with the share of the positive class. Rows and labels are mixed in training (Zhang et al.,
    mixup, ICLR 2018).

    Attributes:
        hidden: width of the shared hidden layer.
        dropout: on features and hidden units.
        mixing: both parameters of the beta distribution of mixup; 0 mixes nothing.
        epochs: passes over the auxiliary people.
        batch_size: features per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW.
        neighbours: how many nearest entries each entry is averaged with; none: chosen on own people
            who are held out.
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    hidden: PositiveInt = 256
    dropout: float = 0.6
    mixing: float = 0.4
    epochs: PositiveInt = 30
    batch_size: PositiveInt = 256
    lr: float = 3e-3
    weight_decay: float = 1e-2
    neighbours: int | None = None
    min_people: PositiveInt = MEASURABLE

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return read_attributes(
            self.learner(ctx),
            target,
            ctx,
            min_people=self.min_people,
            prepare=pool_entries(self.neighbours),
        )

    def learner(self, ctx: RunContext) -> Learn:
        """Return how the network is trained, each time from the same seed."""

        def learn(known: Known) -> Reader:
            generator = ctx.generator("attacks.attribute")
            with ctx.randomness("attacks.attribute"):
                network = _MultiHead(self, known)
                columns = (known.rows, known.labels, known.weights.float())
                batches = Batches(columns, self.batch_size, generator)
                fit(network, batches, epochs=self.epochs, ctx=ctx, detail="attribute classifier")

            def read(rows: Tensor) -> list[Tensor]:
                with torch.no_grad():
                    logits: list[Tensor] = network(rows)
                return logits

            return read

        return learn


class _MultiHead(pl.LightningModule):
    """One hidden layer, one linear head per attribute; classes and people weigh the same."""

    def __init__(self, attack: AttributeClassifier, known: Known) -> None:
        super().__init__()
        self.attack = attack
        self.standardise = Standardise(known.rows)
        self.trunk = nn.Sequential(
            nn.Dropout(attack.dropout),
            nn.Linear(known.rows.shape[1], attack.hidden),
            nn.ReLU(),
            nn.Dropout(attack.dropout),
        )
        self.heads = nn.ModuleList(nn.Linear(attack.hidden, size) for size in known.sizes)

    def forward(self, rows: Tensor) -> list[Tensor]:
        """Map rows ``(B, D)`` to logits ``(B, values)`` for each attribute."""
        hidden = self.trunk(self.standardise(rows))
        return [head(hidden) for head in self.heads]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        rows, labels, weights = batch
        share, other = self._mixture(len(rows))
        share, other = share.to(rows.device), other.to(rows.device)
        logits = self(share[:, None] * rows + (1 - share)[:, None] * rows[other])
        loss: Tensor = logits[0].sum() * 0
        for column, output in enumerate(logits):
            wanted, weight = labels[:, column], weights[:, column]
            each = F.cross_entropy(output, wanted, ignore_index=MISSING, reduction="none")
            partner = F.cross_entropy(output, wanted[other], ignore_index=MISSING, reduction="none")
            mixed = share * weight * each + (1 - share) * weight[other] * partner
            loss = loss + mixed.mean() / len(logits)
        return loss

    def _mixture(self, count: int) -> tuple[Tensor, Tensor]:
        """Return how much of each of ``count`` rows stays, and which row the rest comes from."""
        if not self.attack.mixing:
            return torch.ones(count), torch.arange(count)
        share = torch.distributions.Beta(self.attack.mixing, self.attack.mixing).sample((count,))
        return share, torch.randperm(count)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return one_cycle(self, self.attack.lr, self.attack.weight_decay)
