"""Labelled blocks of attacks and defenses, and the plug-ins behind them: read once, written back.

In a file or on the command line a plug-in is a block of plain data; in Python it is given as it is.
Whichever it was, everything after this module holds the plug-in itself, and the record says its
block.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from auditor import plugins
from auditor.console import printable
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.types import Attack, Defense

BARE = "none"
"""The scenario without a defense."""
CHAIN = "chain"
LONGEST_LABEL = 100
"""Bytes of a label, which names a folder."""
TAKEN = (BARE, "utility", "ladder", "scores", "claims", "")
"""What no attack or defense can be called, for the record uses it otherwise."""

Links = list[tuple[str, dict[str, Any]]]
"""Name and hyper-parameters of each plug-in of a chain."""


def read_attack(label: str, given: Any) -> "Attack":
    """Return the attack of a block, or ``given`` itself if it is one.

    Raises:
        UsageError: if the label or the block cannot be followed.
    """
    check_label("attacks", label)
    if isinstance(given, Mapping):
        return plugins.build("attacks", *plugin_of(label, given))  # type: ignore[no-any-return]
    return _check("attacks", "run", label, given)  # type: ignore[no-any-return]


def read_defenses(label: str, given: Any) -> "tuple[Defense, ...]":
    """Return the defenses of a block, or those given themselves, in the order they are applied.

    Raises:
        UsageError: if the label or the block cannot be followed.
    """
    check_label("defenses", label)
    if isinstance(given, Mapping):
        return tuple(plugins.build("defenses", *link) for link in links_of(label, given))
    chain = given if isinstance(given, list | tuple) else (given,)
    if not chain:
        raise UsageError(f"defenses.{label}: list one defense or more")
    return tuple(_check("defenses", "apply", label, defense) for defense in chain)


def _check(kind: str, method: str, label: str, given: Any) -> Any:
    """Return a copy of a plug-in that was given as it is, if it is one."""
    if isinstance(given, type):
        name = given.__name__
        raise UsageError(f"{kind}.{label}: {name} is a class; give an instance, {name}(…)")
    if not callable(getattr(given, method, None)):
        said = printable(repr(given), 80)
        raise UsageError(
            f"{kind}.{label}: {said} is not a block of parameters, and has no method {method!r}"
        )
    return plugins.fresh(given)


def attack_block(label: str, attack: "Attack") -> dict[str, Any]:
    """Return the block that says ``attack``; an own one is named by its class."""
    name = plugins.name_of("attacks", attack)
    return ({} if name == label else {"use": name}) | plugins.recorded(attack)


def defense_block(label: str, defenses: "Sequence[Defense]") -> dict[str, Any]:
    """Return the block that says these defenses, one after the other."""
    blocks = [
        {"use": plugins.name_of("defenses", defense), **plugins.recorded(defense)}
        for defense in defenses
    ]
    if len(blocks) > 1:
        return {CHAIN: blocks}
    (block,) = blocks
    return {key: value for key, value in block.items() if (key, value) != ("use", label)}


def check_label(kind: str, label: str) -> None:
    """Make sure that ``label`` can stand in an address and name a folder.

    Raises:
        UsageError: if it cannot.
    """
    if "/" in label or label in TAKEN:
        raise UsageError(f"{kind}: the label {label!r} is taken or contains a slash")
    if not is_label(label):
        raise UsageError(
            f"{kind}: the label {printable(label, 80)!r} is not a name of a folder; begin it "
            f"with a letter or digit, and keep it below {LONGEST_LABEL} printable signs"
        )


def is_label(text: str) -> bool:
    """Return whether a label can name a folder of its own, on any system and in any page."""
    return (
        0 < len(text.encode(errors="replace")) <= LONGEST_LABEL
        and text.isprintable()
        and text[0].isalnum()
        and not set(text) & set('/\\:*?"<>|')
        and text == text.strip(" .")
    )


def plugin_of(label: str, block: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the plug-in's name and hyper-parameters behind a labelled block."""
    params = {key: value for key, value in block.items() if key != "use"}
    return str(block.get("use", label)), params


def links_of(label: str, block: Mapping[str, Any]) -> Links:
    """Return the plug-ins behind a labelled block of ``defenses``, in the order they are applied.

    >>> links_of("strong", {"use": "dp_gallery", "epsilon": 1})
    [('dp_gallery', {'epsilon': 1})]
    >>> links_of("both", {"chain": ["deid", {"use": "dp_gallery", "epsilon": 1}]})
    [('deid', {}), ('dp_gallery', {'epsilon': 1})]

    Raises:
        UsageError: if the chain is no list of names and of blocks that name a plug-in.
    """
    if CHAIN not in block:
        return [plugin_of(label, block)]
    place, parts = f"defenses: {label}", block[CHAIN]
    if len(block) > 1:
        raise UsageError(f"{place}: put the parameters into the chain's own blocks, beside 'use'")
    if not isinstance(parts, list) or not parts:
        raise UsageError(f"{place}: chain must list one defense or more")
    blocks = [{"use": part} if isinstance(part, str) else part for part in parts]
    for part in blocks:
        if not isinstance(part, Mapping) or not isinstance(part.get("use"), str):
            raise UsageError(f"{place}: {part!r} names no defense; write {{use: NAME, key: value}}")
    return [plugin_of(label, part) for part in blocks]
