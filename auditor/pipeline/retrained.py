"""What defenses have learned, kept with the run, so that all its results are of the same networks.

Training again need not give the same weights. So each target under a defense, or chain of them,
that works with another extractor or other pictures leaves a file in the private folder: its
weights, where they are all that is needed to have it again, and what it makes of a few pictures,
by which a mechanism that cannot be kept is recognised. Steps of the journal name the files' hashes:
`auditor.pipeline.journal` keeps no result of a target that is no longer there.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from torch import Tensor, nn

from auditor import plugins
from auditor.artifacts.atomic import write
from auditor.embedding import embed
from auditor.models.architectures.group_norm import with_group_norm
from auditor.models.extractor import CardedExtractor
from auditor.report import Finding, PrivacyClaim
from auditor.types import Defense, Target

KEY = "defended"
"""Under which the plain part of a target stands in the file's metadata."""
SAMPLE, STATE = "sample", "network."
SAMPLED = 32
"""Gallery pictures by whose features a target is recognised."""
CLOSE = 1e-4
"""By how much features of a network read back may differ."""


@dataclass(frozen=True, kw_only=True)
class Plain:
    """What a defense adds to a target beside its extractor.

    Attributes:
        parent: hash of the target it was applied to; empty for the bare one.
        whole: whether the extractor and the rest here are all it changed.
    """

    parent: str
    whole: bool
    claims: tuple[PrivacyClaim, ...]
    co_trained: tuple[Finding, ...]
    notes: tuple[str, ...]
    utility_bias: str
    trained: tuple[str, ...]


_ADAPTER = TypeAdapter(Plain)


@dataclass(frozen=True)
class Shelf:
    """The files of one run, one for every beginning of a chain of defenses.

    Attributes:
        folder: private; made when the first file is written.
    """

    folder: Path

    def clear(self) -> None:
        """Forget everything, before a run that is not to go on with an earlier one."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def hashes(self, chain: Sequence[Defense]) -> list[str]:
        """SHA-256 of the file of every beginning of a chain, in order; of those there are."""
        beginnings = [chain[: count + 1] for count in range(len(chain))]
        return [found for found in map(self._hash, beginnings) if found]

    def keep(
        self, chain: Sequence[Defense], before: Target, after: Target, device: torch.device
    ) -> None:
        """Write down what the last defense made of a target, if it changed network or pictures.

        Raises:
            EnvironmentUnmetError: if the disk refuses.
            ModelError: if the target's features are not finite.
        """
        if after.extractor is before.extractor and after.data is before.data:
            return
        whole = isinstance(after.extractor, CardedExtractor) and _changes_only_extractor(
            before, after
        )
        tensors = {SAMPLE: _sample(after, device)}
        if whole:
            assert isinstance(after.extractor, CardedExtractor)
            state = after.extractor.network.state_dict()
            tensors |= {STATE + name: t.contiguous().cpu() for name, t in state.items()}
        plain = Plain(
            parent=self._hash(chain[:-1]),
            whole=whole,
            claims=after.claims,
            co_trained=after.co_trained,
            notes=after.notes,
            utility_bias=after.utility_bias,
            trained=after.trained,
        )
        text = _ADAPTER.dump_json(plain).decode()
        content = safetensors.torch.save(tensors, {KEY: text})
        write(self._file(chain), content, mode=0o600)

    def recall(
        self, chain: Sequence[Defense], before: Target, device: torch.device
    ) -> Target | None:
        """Return the target as it was kept; None if it was not, or not for this ``before``."""
        try:
            with safetensors.safe_open(self._file(chain), "pt") as file:
                plain = _ADAPTER.validate_json((file.metadata() or {}).get(KEY, ""))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError, ValidationError):
            return None
        if not plain.whole or plain.parent != self._hash(chain[:-1]):
            return None
        state = {n.removeprefix(STATE): t for n, t in tensors.items() if n.startswith(STATE)}
        extractor = _rebuild(before.extractor, state)
        if extractor is None:
            return None
        target = replace(
            before,
            extractor=extractor,
            claims=plain.claims,
            co_trained=plain.co_trained,
            notes=plain.notes,
            utility_bias=plain.utility_bias,
            trained=plain.trained,
        )
        # not all that a network answers by need be among its weights
        same = torch.allclose(_sample(target, device), tensors[SAMPLE], rtol=CLOSE, atol=CLOSE)
        return target if same else None

    def _file(self, chain: Sequence[Defense]) -> Path:
        digest = hashlib.sha256(key_of(chain).encode()).hexdigest()
        return self.folder / f"{digest[:16]}.safetensors"

    def _hash(self, chain: Sequence[Defense]) -> str:
        file = self._file(chain)
        if not chain or not file.is_file():
            return ""
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()


def key_of(chain: Sequence[Defense]) -> str:
    """Return a text that is the same for chains that do the same, and for no others.

    Files count by their content. What is no plain value, a network in a field for one, counts as
    itself alone.
    """
    links = []
    for defense in chain:
        plain = plugins.parameters(defense)
        own = {name: getattr(defense, name) for name in plain}
        link = [plugins.name_of("defenses", defense), own if plain else repr(defense)]
        links.append([*link, *filter(None, [plugins.named_files(defense)])])
    return json.dumps(to_jsonable_python(links, fallback=_itself), sort_keys=True)


def _itself(value: object) -> str:
    return f"{plugins.class_path(value)} at {id(value)}"


def _changes_only_extractor(before: Target, after: Target) -> bool:
    names = ("data", "release", "protection")
    return all(getattr(before, name) is getattr(after, name) for name in names)


def _sample(target: Target, device: torch.device) -> Tensor:
    """Features ``(≤ SAMPLED, D)`` of gallery pictures as they are published, evenly spread."""
    gallery, extractor = target.data.gallery, target.extractor
    rows = torch.linspace(0, len(gallery) - 1, min(SAMPLED, len(gallery))).long().tolist()
    images = gallery.images.load(rows, extractor.input_size).to(device)
    return embed(extractor, images).cpu()


def _rebuild(extractor: Any, state: dict[str, Tensor]) -> CardedExtractor | None:
    """Copy ``extractor`` with other weights, also those of a copy with group normalisation."""
    if not isinstance(extractor, CardedExtractor):
        return None
    for prepare in (deepcopy, _with_group_norm):
        copied = deepcopy(extractor)
        try:
            copied.network = prepare(extractor.network)
            copied.network.load_state_dict(state)
        except Exception:  # of another architecture; whatever loading it raises
            continue
        # as trainings leave them
        copied.network.to(memory_format=torch.contiguous_format)
        return copied.eval()
    return None


def _with_group_norm(network: nn.Module) -> nn.Module:
    return with_group_norm(deepcopy(network))
