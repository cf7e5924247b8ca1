"""Somebody else's pictures under everybody's label."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from attacks.adaptive.mixing import partner_rows
from auditor.plugins.declaring import checked_dataclass
from auditor.types import RunContext, Selection, Split, Target
from defenses.publish.folder import write_published
from defenses.publish.publish import KEYED, protect


@checked_dataclass
class RandomImage:
    """Replaces each person's pictures by those of one other person.

    Everybody is shown in somebody else's place: the people stand in a circle in random order, which
    is the key, and each picture becomes a random one of the next person's. Whoever is alone, and
    distractors, stay as they are.

    Source: a baseline of PIS (SCIS 69(1), 2026, Fig. 3g). The pictures are still real people's, so
    this takes away the label and nothing else.
    """

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`."""
        return protect(target, exchange, ctx, "defenses.random_image", bias=KEYED)

    def export(self, defended: Target, ctx: RunContext, folder: Path) -> Mapping[str, Any]:
        """See `auditor.types.Exporter`; raises EnvironmentUnmetError if the disk refuses."""
        return write_published(defended, defended.extractor.input_size, ctx, folder)


def exchange(split: Split, generator: torch.Generator) -> Split:
    """See `auditor.types.Publish`."""
    _, partners = partner_rows(split.pids, generator)
    rows = torch.arange(len(split))
    for pid in split.pids[partners >= 0].unique().tolist():
        own = split.pids == pid
        shown = (split.pids == partners[own][0]).nonzero().flatten()
        rows[own] = shown[torch.randint(len(shown), (int(own.sum()),), generator=generator)]
    return replace(split, images=Selection(split.images, rows.tolist()), partners=partners)
