"""Writes the parts of these pages that the program knows best: `python docs/generate.py`.

A page holds them between ``<!-- generated: NAME -->`` and ``<!-- end of NAME -->``. A test compares
them with what this file would write, so that they cannot go stale.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

import auditor
from auditor import plugins
from auditor.cli.main import app
from reports.content.glossary import TERMS
from reports.content.risks import FAMILIES as RISKS
from reports.content.risks import MEANINGS

HERE = Path(__file__).parent
MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
HEAD = "| {} | meaning | default |\n|---|---|---|"
FAMILIES = {
    "identity": "Who is it?",
    "search": "Is this person there at all?",
    "description": "Who fits these words?",
    "attribute": "What are they like?",
    "distribution": "What is the crowd made of?",
    "inversion": "What do they look like?",
    "score_api": "What do scores give away?",
    "alignment": "What are vectors worth without the model?",
    "extraction": "Can the model be copied?",
    "linkage": "Which entries belong together?",
    "movement": "Where did each person go?",
    "averaging": "What do many releases give back?",
    "translation": "What lies behind a defense?",
    "unshift": "Who was mixed in?",
    "membership": "Whom was the model trained on?",
    "gradient": "What does a shared gradient show?",
}
"""Family -> the question it answers, in the order in which people ask; others follow by name."""


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every page that has a generated part, and the text it should have."""
    for path in sorted(HERE.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if MARKED.search(text):
            yield path, MARKED.sub(_filled, text)


def _filled(found: re.Match[str]) -> str:
    return f"{found[1]}\n{PARTS[found[2]]().strip()}\n\n{found[3]}"


def commands() -> str:
    """Return every command with its arguments and options, as its own help tells them."""
    return "\n\n".join(_command(name, found) for name, found in _leaves(_root(), "audit"))


def _root() -> Any:
    return typer.main.get_command(app)


def _leaves(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, found in sorted(group.commands.items()):
        if hasattr(found, "commands"):
            yield from _leaves(found, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", found


def _command(name: str, found: Any) -> str:
    told = [param for param in found.params if param.name != "help"]
    arguments = [param for param in told if not param.opts[0].startswith("-")]
    usage = " ".join([name, *map(_argument, arguments), "[OPTIONS]"])
    head = f"## {name}\n\n{inspect.cleandoc(found.help or '')}\n\n```text\n{usage}\n```"
    rows = "\n".join(_parameter(param) for param in told)
    return f"{head}\n\n{HEAD.format('option')}\n{rows}" if rows else head


def _argument(param: Any) -> str:
    name = param.metavar or param.opts[0].upper()
    return name if param.required else f"[{name}]"


def _parameter(param: Any) -> str:
    if not param.opts[0].startswith("-"):
        name = _argument(param)
    elif param.is_flag:
        name = " / ".join([*param.opts, *param.secondary_opts])
    else:
        name = f"{param.opts[0]} {param.metavar or param.opts[0].lstrip('-').upper()}"
    again = ", repeatable" if param.multiple and "repeatable" not in param.help else ""
    default = "" if param.default in (None, False, "") else f"`{param.default}`"
    return f"| `{name}` | {_cell(param.help)}{again} | {'needed' if param.required else default} |"


def threat_models() -> str:
    """Return a section per family of attacks: what each recovers and what its adversary has."""
    families: dict[str, list[tuple[str, Any]]] = {name: [] for name in FAMILIES}
    for name in plugins.installed("attacks"):
        plugin = plugins.load("attacks", name)
        family = plugins.describe(plugin).family or name
        families.setdefault(family, []).append((name, plugin))
    return "\n\n".join(_family(*family) for family in families.items() if family[1])


def _family(family: str, attacks: list[tuple[str, Any]]) -> str:
    question = FAMILIES.get(family, family)
    parts = [f"## {question}\n\nFamily `{family}`.\n\n{_adversaries(attacks)}"]
    for name, plugin in attacks:
        parts.append(
            f"### {name}\n\n{plugins.summary(plugin)}\n\n"
            f"**Adversary.** {_sentence(plugins.threat_model(plugin))}"
        )
        if source := _paragraph(plugin, "Source"):
            parts.append(f"**Source.** {_sentence(source)}")
    return "\n\n".join(parts)


def _adversaries(attacks: list[tuple[str, Any]]) -> str:
    """Return what each attack's adversary knows, reaches and holds, in a few words."""
    rows = ["| attack | knows | access | own data |", "|---|---|---|---|"]
    for name, plugin in attacks:
        who = plugins.describe(plugin).adversary
        told = (who.knowledge, who.access, who.auxiliary) if who else ("see below", "", "")
        rows.append(f"| `{name}` | {' | '.join(map(_cell, told))} |")
    return "\n".join(rows)


def glossary() -> str:
    """Return every term of a report."""
    return "\n\n".join(f"**{term}**\n: {meaning}" for term, meaning in TERMS.items())


def risks() -> str:
    """Return which of the three risks of Opinion 05/2014 each family tries."""
    rows = ["| risk | families of attacks |", "|---|---|"]
    for risk, meaning in MEANINGS.items():
        tried = [f"`{name}`" for name, (which, _) in RISKS.items() if which == risk]
        rows.append(
            f"| **{risk.lower()}**: {meaning[:1].lower()}{meaning[1:]} | {', '.join(tried)} |"
        )
    return "\n".join(rows)


def parameters(kind: plugins.Kind) -> str:
    """Return every plug-in of a kind with its hyper-parameters and their defaults."""
    return "\n\n".join(_plugin(name, plugins.load(kind, name)) for name in plugins.installed(kind))


def _plugin(name: str, plugin: Any) -> str:
    # a base class tells of the parameters that it passes on
    told: dict[str, str] = {}
    for kind in reversed(plugin.__mro__ if inspect.isclass(plugin) else [plugin]):
        told |= _attributes(inspect.cleandoc(kind.__doc__ or ""))
    rows = [
        f"| `{field.name}` | {_cell(told.get(field.name, ''))} | `{_default(field)}` |"
        for field in dataclasses.fields(plugin)
    ]
    table = "\n".join([HEAD.format("parameter"), *rows])
    return f"### {name}\n\n{plugins.summary(plugin)}" + (f"\n\n{table}" if rows else "")


def _default(field: "dataclasses.Field[Any]") -> str:
    made = field.default_factory
    value = field.default if made is dataclasses.MISSING else made()
    if value is dataclasses.MISSING:
        return "needed"  # as commands say of their arguments
    if value is None or isinstance(value, bool):
        return str(value).lower()
    # a function's own text holds its place in memory, another one every time
    return value.__name__ if inspect.isroutine(value) else str(value)


def _attributes(docstring: str, section: str = "Attributes") -> dict[str, str]:
    """Name -> what a section of a docstring says of it."""
    _, _, listed = docstring.partition(f"{section}:\n")
    listed = re.split(r"^\w+:$", listed, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", listed, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def python_api() -> str:
    """Return every public name of the package, as its docstring tells it."""
    return "\n\n".join(_public(name, getattr(auditor, name)) for name in auditor.__all__)


def _public(name: str, thing: Any) -> str:
    if not inspect.isclass(thing):
        return _callable(f"## {name}", f"auditor.{name}", thing)
    parts = [f"## {name}\n\n{_prose(thing)}"]
    if issubclass(thing, Exception):
        return parts[0]
    if told := _attributes(inspect.getdoc(thing) or ""):
        parts.append(_table("attribute", told, _defaults(thing)))
    for key, member in vars(thing).items():
        if key.startswith("_") or not member.__doc__:
            continue
        heading = f"### {name}.{key}"
        if isinstance(member, property):
            parts.append(f"{heading}\n\n{_prose(member)}")
        elif isinstance(member, staticmethod | classmethod):
            parts.append(_callable(heading, f"auditor.{name}.{key}", getattr(thing, key)))
        elif inspect.isfunction(member):
            parts.append(_callable(heading, f"{name.lower()}.{key}", member))
    return "\n\n".join(parts)


def _callable(heading: str, call: str, function: Any) -> str:
    """Return a function: how it is called, what it takes, gives and raises."""
    doc = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters
    defaults = {name: _value(param.default) for name, param in parameters.items()}
    parts = [heading, f"```text\n{_call(call, parameters)}\n```", _prose(function)]
    if told := _attributes(doc, "Args"):
        parts.append(_table("argument", told, defaults))
    if returned := re.search(r"^Returns:\n((?:    .*\n?)+)", doc, re.MULTILINE):
        parts.append(f"**Returns.** {_sentence(' '.join(returned[1].split()))}")
    if raised := _attributes(doc, "Raises"):
        rows = "\n".join(f"* `{error}` {_cell(why)}" for error, why in raised.items())
        parts.append(f"**Raises.**\n\n{rows}")
    return "\n\n".join(parts)


def _call(call: str, parameters: Mapping[str, inspect.Parameter]) -> str:
    """Return how a function is called, its defaults left to the table."""
    shown, keyword = [], False
    for name, parameter in parameters.items():
        if name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            shown.append("*")
        shown.append(name if parameter.default is parameter.empty else f"{name}=…")
    return f"{call}({', '.join(shown)})"


def _prose(thing: Any) -> str:
    """Return what a docstring says before its first section or example."""
    text = re.split(r"^(?:\w+:$|>>>)", inspect.getdoc(thing) or "", maxsplit=1, flags=re.MULTILINE)[
        0
    ]
    return text.strip().replace("[", r"\[")


def _table(head: str, told: dict[str, str], defaults: dict[str, str]) -> str:
    rows = [f"| `{n}` | {_cell(text)} | {_code(defaults.get(n, ''))} |" for n, text in told.items()]
    return "\n".join([HEAD.format(head), *rows])


def _code(text: str) -> str:
    return f"`{text}`" if text and text != "needed" else text


def _defaults(thing: type) -> dict[str, str]:
    if not dataclasses.is_dataclass(thing):
        return {}
    return {field.name: _default(field) for field in dataclasses.fields(thing)}


def _value(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return "needed"
    return repr(dict(default)) if isinstance(default, Mapping) else repr(default)


def _paragraph(plugin: Any, word: str) -> str:
    """Return the docstring paragraph that begins ``word:`` (or ``words:``), on one line."""
    for paragraph in (inspect.getdoc(plugin) or "").split("\n\n"):
        if found := re.match(rf"{word}s?:", paragraph):
            return " ".join(paragraph[found.end() :].split())
    return ""


def _sentence(text: str) -> str:
    """Return ``text`` begun with a capital and kept from being read as a link or as emphasis."""
    return text[:1].upper() + text[1:].replace("[", r"\[").replace("*", r"\*")


def _cell(text: str) -> str:
    """Return ``text`` on one line, kept from being read as a cell, a link or emphasis."""
    parts = re.split(r"(``.+?``|`.+?`)", " ".join(text.split()).replace("|", r"\|"))
    parts[::2] = [part.replace("[", r"\[").replace("*", r"\*") for part in parts[::2]]
    return "".join(parts)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "threat-models": threat_models,
    "glossary": glossary,
    "risks": risks,
    "attacks": lambda: parameters("attacks"),
    "defenses": lambda: parameters("defenses"),
    "python-api": python_api,
}


if __name__ == "__main__":
    for page, text in list(pages()):
        page.write_text(text, encoding="utf-8")
