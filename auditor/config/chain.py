"""How defenses are written down, in YAML and after ``--defend``; one meaning for both.

A scenario is one defense, or a chain of several, the first one nearest to the bare target:

    defenses:
      dp_gallery: {epsilon: 1.0}
      strong: {use: dp_gallery, epsilon: 0.1}
      both: {chain: [deid, {use: dp_gallery, epsilon: 1.0}]}

    --defend dp_gallery:epsilon=1.0
    --defend strong=dp_gallery:epsilon=0.1
    --defend both=deid+dp_gallery:epsilon=1.0
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from auditor import plugins
from auditor.errors import UsageError
from auditor.plugins.containment import contained

if TYPE_CHECKING:
    from auditor.types import Defense, RunContext, Target

CHAIN = "chain"
FORM = "write it as [LABEL=]NAME[:key=value,…], several defenses joined by +"

_LABEL = re.compile(r"^([^:=]+)=(.*)$", re.DOTALL)
# a plus that begins a name, not an exponent
_PLUS = re.compile(r"\+(?=[A-Za-z_])")
# a comma that stands in no bracket
_COMMA = re.compile(r",(?![^\[{]*[\]}])")

Links = list[tuple[str, dict[str, Any]]]
"""Name and hyper-parameters of each plug-in of a chain."""


def plugin_of(label: str, block: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The plug-in's name and hyper-parameters behind a labelled block."""
    params = {key: value for key, value in block.items() if key != "use"}
    return str(block.get("use", label)), params


def links_of(label: str, block: Mapping[str, Any]) -> Links:
    """The plug-ins behind a labelled block of ``defenses``, in the order they are applied.

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


def defenses_of(label: str, block: Mapping[str, Any]) -> list[Any]:
    """The built plug-ins behind a labelled block, in the order they are applied.

    Raises:
        UsageError: if the block cannot be followed.
    """
    return [plugins.build("defenses", name, params) for name, params in links_of(label, block)]


def applied(
    name: str, params: Mapping[str, Any], target: "Target", ctx: "RunContext"
) -> tuple["Defense", "Target"]:
    """The built plug-in and what it makes of ``target``, under randomness of its own name.

    Claims that were made before and that it undoes are void in what comes out, and so are those of
    its own that its release refutes.
    """
    from auditor.plugins import claims  # torch starts here
    from auditor.plugins.undisturbed import undisturbed

    defense: Defense = plugins.build("defenses", name, params)
    alone = contained(f"the defense {name!r}")
    with undisturbed(target.data), ctx.randomness(f"defenses.{name}"), alone:
        defended = defense.apply(target, ctx)
    if type(defended) is not type(target):
        raise TypeError(f"the defense {name!r} gave a {type(defended).__name__}, no Target")
    return defense, claims.tried(target, claims.kept(target, defended, name), ctx)


def parse(text: str, flag: str = "--defend") -> tuple[str, dict[str, Any]]:
    """A label and its block, from the short form of the command line.

    >>> parse("strong=dp_gallery:epsilon=1e+1,unit=identity")
    ('strong', {'use': 'dp_gallery', 'epsilon': 10.0, 'unit': 'identity'})
    >>> parse("deid+dp_gallery:epsilon=1")
    ('deid+dp_gallery', {'chain': [{'use': 'deid'}, {'use': 'dp_gallery', 'epsilon': 1}]})

    Raises:
        UsageError: for text of another form.
    """
    labelled = _LABEL.match(text)
    label, body = labelled.groups() if labelled else ("", text)
    blocks = [_block(part, text, flag) for part in _PLUS.split(body)]
    label = label or "+".join(block["use"] for block in blocks)
    return label, blocks[0] if len(blocks) == 1 else {CHAIN: blocks}


def parse_all(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Label -> block of every ``--defend``.

    Raises:
        UsageError: for text of another form, or a label given twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        label, block = parse(text)
        if label in found:
            raise UsageError(
                f"--defend {text}: there is a scenario {label!r} already; "
                f"give it a label of its own: --defend LABEL={text}"
            )
        found[label] = block
    return found


def _block(text: str, whole: str, flag: str) -> dict[str, Any]:
    name, _, rest = text.partition(":")
    settings = [part.partition("=") for part in _COMMA.split(rest) if part]
    if not name.strip() or not all(key.strip() and equals for key, equals, _ in settings):
        raise UsageError(f"{flag} {whole}: {FORM}")
    try:
        params = {key.strip(): _value(value) for key, _, value in settings}
    except yaml.YAMLError:
        raise UsageError(f"{flag} {whole}: a value is not YAML") from None
    return {"use": name.strip(), **params}


def _value(text: str) -> Any:
    try:  # YAML takes 1e-5 for a text; whoever types it means a number
        return float(text) if "e" in text.lower() else yaml.safe_load(text)
    except ValueError:
        return yaml.safe_load(text)
