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
from collections.abc import Sequence
from typing import Any

import yaml

from auditor.config.blocks import CHAIN
from auditor.errors import UsageError

FORM = "write it as [LABEL=]NAME[:key=value,…], several defenses joined by +"

_LABEL = re.compile(r"^([^:=]+)=(.*)$", re.DOTALL)
# a plus that begins a name, not an exponent
_PLUS = re.compile(r"\+(?=[A-Za-z_])")
# a comma that stands in no bracket
_COMMA = re.compile(r",(?![^\[{]*[\]}])")


def parse(text: str, flag: str = "--defend") -> tuple[str, dict[str, Any]]:
    """Return a label and its block, from the short form of the command line.

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
    """Return label -> block of every ``--defend``.

    Raises:
        UsageError: for text of another form, or a label given twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        label, block = parse(text)
        if label in found:
            raise UsageError(
                f"--defend {text}: there is a scenario {label!r} already; "
                f"give it a label: --defend LABEL={text}"
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
