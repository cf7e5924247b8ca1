"""Fits the weights of a file to a network, whatever they are called there."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from auditor.console import printable
from auditor.errors import ModelError
from auditor.models.architectures.backbones import InstanceBatchNorm
from auditor.models.names import CodeBase, Reading, best, counts, readings, renamings
from auditor.models.wrappers import group_names, part

HEADS = {"classifier", "fc", "head", "heads", "logits", "last_linear", "id_classifier"}
HEAD_BEGINNINGS = ("classifier_", "fc_id_")
LONGEST = 120
"""Characters of a weight's name, and its shapes, in a message."""
NECKS = ("bottleneck", "neck", "bn", "running_", "add_block")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a file's weights met a network's parameters.

    Attributes:
        code_base: whose names the weights have; empty where they are the network's own.
        prefix: what was taken off the names.
        left_out: what the file contains beside the network, such as a loss, and how much of it.
        classifier: what was left out of it, for the reader; empty if nothing was.
        dropped: the classifier's weights, which a feature extractor does not use.
        unfilled: parameters of the network's own classifier that the file has no weights for.
    """

    code_base: str
    prefix: str
    left_out: tuple[str, ...]
    classifier: str
    dropped: tuple[str, ...]
    unfilled: tuple[str, ...]


def fit(network: nn.Module, state: Mapping[str, Tensor], what: str, key: str | None = None) -> Fit:
    """Load the network in ``state`` into ``network``, all of it but a classifier.

    Args:
        network: gets the weights.
        state: dotted name -> tensor.
        what: file and architecture, for the message.
        key: which of several networks in the file is meant; None: there is one that fits.

    Raises:
        ModelError: if anything else is missing, superfluous or of another shape, or if several
            networks fit.
    """
    wanted = {name: tensor for name, tensor in network.state_dict().items() if counts(name)}
    weights, left_out = part(state, key)
    found = readings(renamings(weights), wanted)
    fitting = [r for r in found if r.fitting and not any(_faults(r, wanted).values())]
    alike = [r for r in fitting if works_alike(network, r.naming.code_base)]
    reading = _only(alike or fitting, what)
    if reading is None:
        raise ModelError(_wrong(best(found), wanted, what))
    base = reading.naming.code_base
    if difference := _difference(network, base):
        raise ModelError(
            f"{what}: the weights are from {base.name}, whose networks {difference}; they would "
            "load and see another picture"
        )
    network.load_state_dict(reading.fitting, strict=False)
    dropped = [n for n in reading.given if n not in reading.fitting]
    others = [n for n in weights if counts(n) and n not in reading.naming.taken]
    return Fit(
        code_base=base.name,
        prefix=".".join(filter(None, (key, reading.naming.key, reading.prefix.rstrip(".")))),
        left_out=(*left_out, *group_names(others)),
        classifier=_left_out([reading.given[name] for name in dropped]),
        dropped=tuple(dropped),
        unfilled=tuple(n for n in wanted if n not in reading.fitting),
    )


def _only(fitting: list[Reading], what: str) -> Reading | None:
    """Return the best of the readings of one network; None if there is none."""
    networks = {reading.naming.taken: reading.naming.key for reading in fitting}
    if len(networks) > 1:
        keys = " and ".join(map(repr, sorted(networks.values())))
        raise ModelError(
            f"{what}: the file contains {len(networks)} networks that fit, {keys}; "
            "name the one that is deployed with --weights-key"
        )
    return best(fitting) if fitting else None


def _faults(reading: Reading, wanted: Mapping[str, Tensor]) -> dict[str, list[str]]:
    given, fitting = reading.given, reading.fitting
    mismatched = [n for n in wanted if n in given and n not in fitting and not is_head(n)]
    return {
        "missing": [n for n in wanted if n not in given and not is_head(n)],
        "unexpected": [n for n in given if n not in wanted and not is_head(n)],
        "of another shape": [
            f"{n} {tuple(given[n].shape)} instead of {tuple(wanted[n].shape)}" for n in mismatched
        ],
    }


def _wrong(reading: Reading, wanted: Mapping[str, Tensor], what: str) -> str:
    read_as = reading.naming.code_base.name
    names = f"; names read as those of {read_as}" if read_as else ""
    return f"{what}: wrong architecture: {_listed(_faults(reading, wanted))}{names}"


def works_alike(network: nn.Module, code_base: CodeBase) -> bool:
    """Return whether a network does what the code base's do, which names and shapes do not show."""
    return not _difference(network, code_base)


def _difference(network: nn.Module, code_base: CodeBase) -> str:
    """Return what sets a network apart from those of a code base; empty if nothing is known to."""
    made_for = getattr(network, "made_for", "")
    if code_base.name and (made_for or code_base.own) and made_for != code_base.name:
        return f"are not made as this one is, which is for {made_for or 'others'}"
    stem = getattr(getattr(network, "backbone", None), "stem", None)
    stems = _stems(network, code_base)
    return (
        ""
        if not stems or stem in (None, *stems)
        else f"are built in another way ({', '.join(stems)})"
    )


def _stems(network: nn.Module, code_base: CodeBase) -> tuple[str, ...]:
    ibn = any(isinstance(module, InstanceBatchNorm) for module in network.modules())
    return code_base.ibn_stems if ibn and code_base.ibn_stems else code_base.stems


def _left_out(weights: list[Tensor]) -> str:
    classes = {len(weight) for weight in weights if weight.ndim > 1}
    if not classes:
        return ""
    return f"of {' and '.join(map(str, sorted(classes)))} classes, left out"


def is_head(name: str) -> bool:
    """Return whether a weight belongs to the classifier."""
    # a normalisation neck beside the classifier shapes the features, so it is no mere head
    parts = name.split(".")
    head = any(part in HEADS or part.startswith(HEAD_BEGINNINGS) for part in parts[:3])
    return head and not any(part.startswith(NECKS) for part in parts)


def _listed(faults: Mapping[str, list[str]]) -> str:
    texts = []
    for kind, names in faults.items():
        shown = [printable(name, LONGEST) for name in names[:3]]
        shown += ["…"] if len(names) > 3 else []
        texts += [f"{len(names)} {kind} ({', '.join(shown)})"] if names else []
    return "; ".join(texts) or "no weight of the network is in the file"
