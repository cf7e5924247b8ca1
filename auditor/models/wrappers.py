"""Finds a network's weights in what a training script saved: in wrappers, copies, beside losses.

Nested dicts are flattened to dotted names, so that a dict under ``model`` and names that begin with
``model.`` are one thing. Wrappers may come in any order. Where a file has several networks, such
as a student and its teacher, each is a candidate of its own.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from auditor.console import printable
from auditor.errors import ModelError

WRAPPERS = {
    *("model", "net", "network", "module", "backbone", "encoder", "extractor", "_orig_mod"),
    *("feature_extractor", "state_dict", "model_state_dict", "model_state", "weights", "params"),
}
"""What training scripts and libraries put before every name of a network."""

COPIES = {
    *("teacher", "student", "model_teacher", "model_student", "mean_teacher"),
    *("ema", "model_ema", "ema_model", "module_ema", "net_ema", "params_ema"),
    *("state_dict_ema", "ema_state_dict", "momentum_encoder", "target", "online"),
}
"""Wrappers of which a file may contain several, each with a network of its own."""

BESIDE = re.compile(r"(.*_)?(optim|sched|criteri|loss|scaler|callbacks|loops|metrics?$|miner)")
"""How the names begin that are saved beside a network and are no part of it."""

DEEPEST = 10
"""Dicts inside each other; no training script comes near it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One set of weights that a file may mean.

    Attributes:
        key: what its names begin with in the file; empty: nothing.
        weights: name without ``key`` -> weight.
    """

    key: str
    weights: dict[str, Tensor]


def flatten(content: Mapping[object, object]) -> dict[str, Tensor]:
    """Return tensors of nested dicts under dotted names; a dict that occurs twice is read once."""
    return dict(_tensors(content, (), set()))


def _tensors(
    content: Mapping[object, object], path: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[str, Tensor]]:
    if id(content) in seen or len(path) > DEEPEST:
        return
    seen.add(id(content))
    for key, value in content.items():
        here = (*path, str(key))
        if isinstance(value, Tensor):
            yield ".".join(here), value
        elif isinstance(value, Mapping):
            yield from _tensors(value, here, seen)


def part(state: Mapping[str, Tensor], key: str | None) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the names that may be a network's, and what was left out because it is none.

    Args:
        state: dotted name -> tensor.
        key: what the user says the names begin with; None: they do not say.

    Raises:
        ModelError: if nothing lies under ``key``.
    """
    if key is None:
        kept = {name: tensor for name, tensor in state.items() if not _is_beside(name, tensor)}
        return kept, group_names(name for name in state if name not in kept)
    beginning = key.rstrip(".") + "."
    kept = _below(state, beginning)
    if not kept:
        raise ModelError(
            f"nothing is stored under the weights key {printable(key, 80)!r}; "
            f"there are: {', '.join(group_names(state))}"
        )
    return kept, group_names(name for name in state if not name.startswith(beginning))


def _below(state: Mapping[str, Tensor], beginning: str) -> dict[str, Tensor]:
    return {n.removeprefix(beginning): t for n, t in state.items() if n.startswith(beginning)}


def _is_beside(name: str, tensor: Tensor) -> bool:
    parts = name.split(".")
    first = parts[min(_depth(parts), len(parts) - 1)]
    scores = tensor.ndim == 0 and len(parts) == 1  # such as the best rank-1 of a training
    return scores or BESIDE.match(first) is not None


def _depth(parts: list[str]) -> int:
    """Return how many of a name's beginnings are wrappers."""
    wraps = (part in WRAPPERS or part in COPIES for part in parts)
    return next((i for i, wrap in enumerate(wraps) if not wrap), len(parts))


def candidates(state: Mapping[str, Tensor]) -> list[Candidate]:
    """Return the networks that ``state`` may contain: itself, and whatever its wrappers single out.

    A wrapper singles out a network only if nothing of the network can lie outside: all else is
    below another copy's wrapper.
    """
    names = [name.split(".") for name in state]
    keys = {tuple(parts[:depth]) for parts in names for depth in range(_depth(parts) + 1)}
    keys.discard(())
    found = [Candidate(key="", weights=dict(state))]
    for key in sorted(keys):
        if all(_inside(key, parts) or _apart(key, parts) for parts in names):
            beginning = ".".join(key) + "."
            found.append(Candidate(key=".".join(key), weights=_below(state, beginning)))
    return found


def _inside(key: tuple[str, ...], parts: list[str]) -> bool:
    return tuple(parts[: len(key)]) == key and len(parts) > len(key)


def _apart(key: tuple[str, ...], parts: list[str]) -> bool:
    """Return whether a name parts from the key where copies of a network part from each other."""
    for mine, other in zip(key, parts, strict=False):
        if mine != other:
            return other in COPIES or (mine in COPIES and other in WRAPPERS)
    return False


def group_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return what names begin with, their wrappers or else their first part, and how many do.

    >>> group_names(["model.criterion.weight", "model.criterion.bias", "ema.conv1.weight"])
    ('ema (1)', 'model.criterion (2)')
    """
    counts = Counter(_beginning(name.split(".")) for name in names)
    return tuple(f"{printable(name, 60)} ({count})" for name, count in sorted(counts.items()))


def _beginning(parts: list[str]) -> str:
    depth = _depth(parts)
    wrapped = 0 < depth < len(parts) and not BESIDE.match(parts[depth])
    return ".".join(parts[: depth if wrapped else depth + 1])
