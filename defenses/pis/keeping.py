"""The generator and the key of a shift as a file, for the pictures that come after it.

Whoever has it can shift further pictures of the same people in the same way, and can undo the shift
as well as can be. So it is kept with the secrets.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Generator, Tensor

from auditor.artifacts.atomic import write
from auditor.errors import DataError, UsageError

FILE = "generator.safetensors"
NETWORK, PARTNERS, KEY = "network.", "partners.", "shift"


@dataclass(frozen=True, eq=False)
class KeptShift:
    """What further pictures are shifted with.

    Attributes:
        params: of the plug-in.
        origin: where poses came from.
        labels: pid in the source -> the label it is published under; its order is that of rows.
        network: the generator's weights.
        partners: per scale ``(people, k − 1, C, h, w)``, the means that are mixed into each person.
    """

    params: Mapping[str, Any]
    origin: str
    labels: Mapping[int, int]
    network: Mapping[str, Tensor]
    partners: list[Tensor]

    def save(self, folder: Path) -> None:
        """Write the file, for its owner alone; raises EnvironmentUnmetError if the disk refuses."""
        tensors = {NETWORK + name: value.contiguous() for name, value in self.network.items()}
        tensors |= {f"{PARTNERS}{n}": scale.contiguous() for n, scale in enumerate(self.partners)}
        plain = {
            "params": dict(self.params),
            "origin": self.origin,
            "labels": [*self.labels.items()],
        }
        content = safetensors.torch.save(tensors, {KEY: json.dumps(plain)})
        write(folder / FILE, content, mode=0o600)

    @classmethod
    def load(cls, folder: Path) -> "KeptShift":
        """Read the file; raises UsageError if ``folder`` contains no key of a shift."""
        try:
            with safetensors.safe_open(folder / FILE, "pt") as file:
                plain = json.loads((file.metadata() or {})[KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            scales = sum(name.startswith(PARTNERS) for name in tensors)
            return cls(
                plain["params"],
                plain["origin"],
                {int(pid): int(label) for pid, label in plain["labels"]},
                {n.removeprefix(NETWORK): t for n, t in tensors.items() if n.startswith(NETWORK)},
                [tensors[f"{PARTNERS}{n}"] for n in range(scales)],
            )
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            raise UsageError(f"{folder} contains no generator of a shift: {error}") from None

    def knowing(self, pids: Tensor, generator: Generator) -> "KeptShift":
        """Return a shift that has all of ``pids (N,)``; new people are mixed at random.

        Raises:
            DataError: if there are fewer people to mix with than a shift takes.
        """
        new = [pid for pid in pids[pids > 0].unique().tolist() if pid not in self.labels]
        count, people = self.partners[0].shape[1], len(self.labels)
        if people < count:
            raise DataError(f"the key knows {people} people, and a shift mixes in {count}")
        # each first partner is a picture of another person
        chosen = [torch.randperm(people, generator=generator)[:count] for _ in new]
        partners = [
            torch.cat([scale, *(scale[rows, 0][None] for rows in chosen)])
            for scale in self.partners
        ]
        first = 1 + max([*self.labels.values(), *self.labels, *new], default=0)
        order = torch.randperm(len(new), generator=generator).tolist()
        fresh = {pid: first + place for pid, place in zip(new, order, strict=True)}
        return replace(self, labels={**self.labels, **fresh}, partners=partners)

    def of(self, pids: Tensor, generator: Generator) -> list[list[Tensor]]:
        """Per partner, per scale ``(N, C, h, w)``: what is mixed into pictures of known ``pids``.

        Each distractor counts as a person, who is forgotten again.
        """
        places = {pid: row for row, pid in enumerate(self.labels)}
        count = self.partners[0].shape[1]
        chosen = [
            torch.tensor([[places[pid], nth] for nth in range(count)])
            if pid > 0
            else torch.stack(
                [
                    torch.randperm(len(places), generator=generator)[:count],
                    torch.zeros(count, dtype=torch.long),
                ],
                dim=1,
            )
            for pid in pids.tolist()
        ]
        table = torch.stack(chosen)
        return [
            [scale[table[:, nth, 0], table[:, nth, 1]] for scale in self.partners]
            for nth in range(count)
        ]
