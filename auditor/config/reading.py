"""A configuration from a preset, a YAML file and a few flags, each over the one before."""

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from auditor import plugins
from auditor.artifacts import plain_yaml
from auditor.config.audit import PATHS, PRESETS, AuditConfig
from auditor.config.blocks import BARE, CHAIN, plugin_of
from auditor.console import printable
from auditor.errors import UsageError, did_you_mean
from auditor.gates import Gate, unmatched
from auditor.plugins.declaring import Role, path_options, values_of

_KINDS: tuple[plugins.Kind, ...] = ("attacks", "defenses")
WANTED = {
    "dict_type": "must be a mapping, such as {NAME: {}}",
    "model_type": "must be a mapping, such as {KEY: VALUE}",
    "list_type": "must be a list, such as [FIRST, SECOND]",
}
"""What is said of a value of a wrong shape, by pydantic's name for the error."""


def load(path: Path | None, flags: Mapping[str, Any], settings: Sequence[str] = ()) -> AuditConfig:
    """Preset, then file, then ``KEY.PATH=VALUE`` settings, then flags; later ones win.

    Args:
        path: a YAML file, whose relative paths start at its own folder; or None.
        flags: nested plain data; None values are not given.
        settings: such as ``data.cross_camera=false``; values are YAML.

    Raises:
        UsageError: for a file that cannot be followed, an unknown key, or a value of a wrong type.
    """
    given = _from_folder(_read(path), path.parent) if path else {}
    for setting in settings:
        put(given, setting)
    given = _overlay(given, _with_card(given, flags))
    preset = given.get("preset", "quick")
    if preset not in PRESETS:
        raise UsageError(f"no preset named {preset!r}; there are {', '.join(PRESETS)}")
    merged = _under_preset(given, preset_defaults(preset))
    return resolve(merged, str(path or "the command line"))


def resolve(merged: Mapping[str, Any], source: str, judges: Collection[str] = ()) -> AuditConfig:
    """Return the configuration of nested data, with all that it takes from elsewhere.

    Args:
        merged: as in a file; attacks and defenses may also be given as they are.
        source: where it comes from, for messages.
        judges: labels of judges that are in memory, which no configuration can name.

    Raises:
        UsageError: for an unknown key, a value of a wrong type, or a plan that cannot be followed.
    """
    if "weights" not in merged and (folder := os.environ.get("AUDIT_WEIGHTS")):
        merged = {**merged, "weights": folder}
    config = _validate(merged, source)
    _check_plan(config, {*config.judges, *judges})
    return config


def _with_card(given: Mapping[str, Any], flags: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the flags; ``--card`` names a preset, and takes nothing away that is set beside it."""
    block, flag = given.get("model"), flags.get("model")
    card = block.get("card") if isinstance(block, Mapping) else None
    if not isinstance(card, Mapping) or not isinstance(flag, Mapping) or flag.get("card") is None:
        return flags
    return {**flags, "model": {**flag, "card": {**card, "preset": flag["card"]}}}


def preset_defaults(preset: str) -> dict[str, Any]:
    """Return the attacks, defenses and gates a preset stands for, as plain data."""
    text = resources.files("auditor").joinpath(f"presets/{preset}.yaml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def shift_parameters(preset: str, settings: Sequence[str]) -> dict[str, Any]:
    """Hyper-parameters for `audit shift`: the preset's, under ``KEY=VALUE`` settings.

    Raises:
        UsageError: for an unknown preset or parameter, or a value of a wrong type.
    """
    presets = preset_defaults("shift")
    if preset not in presets:
        raise UsageError(f"no preset named {preset!r}; there are {', '.join(presets)}")
    params: dict[str, Any] = presets[preset]
    for setting in settings:
        put(params, setting)
    plugins.build("defenses", "pis", params)
    return params


def gates_in(path: Path) -> list[Gate]:
    """Return the gates of a configuration file, for judging a saved record.

    Raises:
        UsageError: if there are none, or the file cannot be followed.
    """
    config = _validate({"gates": _read(path).get("gates") or []}, str(path))
    if not config.gates:
        raise UsageError(f"{path} sets no gates; add a 'gates:' list")
    return list(config.gates)


def _read(path: Path) -> dict[str, Any]:
    loaded = plain_yaml.read(path)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UsageError(
            f"{path} contains a {type(loaded).__name__}; expected keys such as 'model:'"
        )
    judges = loaded.get("judges")
    blocks = [loaded, *(loaded.get(name) for name in ("model", "data", "features"))]
    blocks += judges.values() if isinstance(judges, dict) else ()
    for block in blocks:
        for key in (*PATHS, "weights", "cache"):
            if isinstance(block, dict) and isinstance(block.get(key), str):
                block[key] = _start_at(path.parent, block[key])
    return loaded


def _from_folder(loaded: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data with the paths in plug-ins' blocks starting at ``folder``.

    What is no block is left as it is, for it is refused later.
    """
    moved = dict(loaded)
    for kind in _KINDS:
        if isinstance(blocks := loaded.get(kind), dict):
            moved[kind] = {
                label: _move_block(kind, label, block, folder) for label, block in blocks.items()
            }
    return moved


def _move_block(kind: plugins.Kind, label: Any, block: Any, folder: Path) -> Any:
    if not isinstance(block, dict):
        return block
    if isinstance(links := block.get(CHAIN), list):
        return {**block, CHAIN: [_move_block(kind, "", link, folder) for link in links]}
    name = plugin_of(str(label), block)[0]
    paths = path_options(plugins.load(kind, name)) if name in plugins.installed(kind) else {}
    return {
        key: _move(value, paths[key], folder) if key in paths else value
        for key, value in block.items()
    }


def _move(value: Any, words: Collection[str], folder: Path) -> Any:
    """Return a path, or several, starting at ``folder``; ``words`` are none."""
    if isinstance(value, list):
        return [_move(one, words, folder) if isinstance(one, str) else one for one in value]
    if not isinstance(value, str) or not value or value in words:
        return value
    return _start_at(folder, value)


def _start_at(folder: Path, path: str) -> str:
    return str(folder / Path(path).expanduser())


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Nested plain data of some ``--set``; later ones win. See `put` for errors."""
    given: dict[str, Any] = {}
    for setting in settings:
        put(given, setting)
    return given


def put(given: dict[str, Any], setting: str) -> None:
    """Add ``key.path=value`` of a ``--set``, the value in YAML, to nested plain data.

    Raises:
        UsageError: for text of another form.
    """
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {setting!r} is not of the form key.path=value")
    *parents, last = key.split(".")
    for parent in parents:
        if given.get(parent) is None:
            given[parent] = {}
        given = given[parent]
        if not isinstance(given, dict):
            raise UsageError(f"--set {setting!r}: {parent!r} has no keys")
    given[last] = plain_yaml.loads(value, f"--set {printable(setting, 200)!r}: the value")


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping):
            block = merged.get(key)
            merged[key] = _overlay(block if isinstance(block, Mapping) else {}, value)
        elif value is not None:
            merged[key] = value
    return {key: value for key, value in merged.items() if value != {} or key in below}


def _under_preset(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a block named by the user takes the preset's parameters as defaults.

    Others are dropped.
    """
    merged = {"budget": defaults.get("budget") or [], **given}
    if not {"attacks", "defenses", "gates"} & given.keys():
        merged["gates"] = defaults.get("gates") or []  # they speak of the preset's own plug-ins
    for kind in _KINDS:
        preset = defaults.get(kind) or {}
        blocks = merged.get(kind)
        if blocks is None:
            merged[kind] = preset
        elif isinstance(blocks, dict):
            merged[kind] = {
                label: _fill(label, block, preset)
                if block is None or isinstance(block, dict)
                else block
                for label, block in blocks.items()
            }
    return merged


def _fill(label: str, block: Mapping[str, Any] | None, preset: Mapping[str, Any]) -> Any:
    """Return a block over the preset's parameters of its plug-in.

    In a chain, each link over its own.
    """
    block = block or {}
    if isinstance(block.get(CHAIN), list):
        return {**block, CHAIN: [_fill_link(link, preset) for link in block[CHAIN]]}
    if CHAIN in block:
        return block
    return {**preset.get(plugin_of(label, block)[0], {}), **block}


def _fill_link(link: Any, preset: Mapping[str, Any]) -> Any:
    if isinstance(link, str):
        link = {"use": link}
    return {**preset.get(str(link.get("use")), {}), **link} if isinstance(link, dict) else link


def _validate(merged: Mapping[str, Any], source: str) -> AuditConfig:
    try:
        return AuditConfig.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        close: list[str] = []
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            close = get_close_matches(place, AuditConfig.model_fields, n=1)
        elif first["type"] == "literal_error":
            choices = re.findall("'([^']+)'", first["ctx"]["expected"])
            close = get_close_matches(str(first["input"]), choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        said = printable(f"{place}: {WANTED.get(first['type'], first['msg'])}", 400)
        raise UsageError(f"{source}: {said}{hint}") from None


def _check_plan(config: AuditConfig, judges: Collection[str]) -> None:
    """Refuse what can be seen to fail before any model is opened."""
    if not config.attacks:
        raise UsageError("no attacks are configured; an audit without attacks shows nothing")
    if config.features is not None and (config.model is not None or config.data is not None):
        raise UsageError(
            "features are audited in the place of a model and its data; leave out --features, or "
            "--model and --data"
        )
    if "target" in config.judges:
        raise UsageError("judges: the label 'target' is taken by the audited model itself")
    for label, attack in config.attacks.items():
        _check_judges(label, attack, sorted(judges))
    for scenario in config.budget_scenarios:
        if scenario not in (known := [BARE, *config.defenses]):
            hint = did_you_mean(scenario, known, f"there are {', '.join(known)}")
            raise UsageError(f"budget_scenarios: no scenario named {scenario!r}; {hint}")
    for gate in config.gates:
        if not math.isfinite(gate.limit):
            raise UsageError(f"gate {gate.address!r}: the limit {gate.limit} is not a number")
        if reason := unmatched(gate, [BARE, *config.defenses], list(config.attacks)):
            raise UsageError(reason)


def _check_judges(label: str, attack: object, judges: Sequence[str]) -> None:
    """Refuse an attack that counts on a judge whom nobody has named."""
    for field, named in values_of(attack, Role.JUDGES).items():
        for judge in [named] if isinstance(named, str) else named:
            if judge and judge not in judges:
                known = f"there are {', '.join(judges)}" if judges else "there is none"
                raise UsageError(
                    f"attack {label!r}: {field} names {judge!r}, which is not under judges; "
                    + did_you_mean(judge, judges, known)
                )
