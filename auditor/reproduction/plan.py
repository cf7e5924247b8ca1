"""The papers' tables as data: what each row is, what the paper prints, and how to run it.

Every table is a YAML file beside this module, so that its figures can be proofread against the
paper. Percentages there are as printed; they become fractions here.
"""

from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from auditor.errors import UsageError, did_you_mean

Block = dict[str, Any]
"""A configuration block: a plug-in's hyper-parameters, ``use`` naming it if the label does not."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnPlan(_Strict):
    """A column; ``address`` says which measurement of a scenario fills it."""

    label: str
    address: str = ""
    better: Literal["higher", "lower", ""] = ""
    ours: bool = False
    meaning: str = ""


class RowPlan(_Strict):
    """A row.

    Attributes:
        label: as printed.
        model: which of the preset's models; the first if left out.
        defense: the protection; empty: none.
        attack: for tables whose rows are attacks, the attack's label.
        paper: dataset -> column -> figure, in percent unless the table says otherwise.
        note: for the reader.
        ours: not in the paper.
    """

    label: str
    model: str = ""
    defense: Block = Field(default_factory=dict)
    attack: str = ""
    paper: dict[str, dict[str, float]] = Field(default_factory=dict)
    note: str = ""
    ours: bool = False


class Preset(_Strict):
    """How large a repetition is.

    Attributes:
        models: name -> what `audit train` is asked for: arch, size, recipe, and weights to start
            from where the user has them.
        attacker: the model with which an adversary searches, for tables on published pictures.
        learners: the models whose usefulness after training on them is averaged; empty: all.
        reader: the model that reads attributes off pictures; empty: the attacker's.
        attributes: label -> ``attribute=value`` to read off the pictures.
        attacks: the attacks of the audit.
        defenses: plug-in -> hyper-parameters that every row with it starts from.
        people: synthetic people (identities, auxiliary, cameras, images) where no data are given.
        controls: whether attacks prove their power.
    """

    models: dict[str, Block]
    attacker: str = ""
    learners: list[str] = Field(default_factory=list)
    reader: str = ""
    attributes: dict[str, str] = Field(default_factory=dict)
    attacks: dict[str, Block] = Field(default_factory=dict)
    defenses: dict[str, Block] = Field(default_factory=dict)
    people: dict[str, int] = Field(default_factory=dict)
    controls: bool = True


class TablePlan(_Strict):
    """One table of one paper."""

    title: str
    source: str
    protocol: Literal["audit", "publication"]
    columns: dict[str, ColumnPlan]
    rows: dict[str, RowPlan]
    presets: dict[str, Preset]
    notes: list[str] = Field(default_factory=list)


def names() -> list[str]:
    """Return the tables there are."""
    files = resources.files("auditor.reproduction").joinpath("tables").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def table(name: str) -> TablePlan:
    """Return the plan behind a table's name.

    Raises:
        UsageError: if there is none.
    """
    known = names()
    if name not in known:
        hint = did_you_mean(name, known, f"there are: {', '.join(known)}")
        raise UsageError(f"no table named {name!r}; {hint}")
    text = resources.files("auditor.reproduction").joinpath(f"tables/{name}.yaml").read_text()
    return TablePlan.model_validate(yaml.safe_load(text))


def printed(row: RowPlan, against: str) -> Mapping[str, float]:
    """Return what the paper prints in a row for one dataset, as fractions."""
    return {key: value / 100 for key, value in row.paper.get(against, {}).items()}


def datasets(plan: TablePlan) -> list[str]:
    """Return the datasets a table prints figures for, in its order."""
    return list(dict.fromkeys(name for row in plan.rows.values() for name in row.paper))


def block_of(row: RowPlan, preset: Preset) -> Block:
    """Return a row's defense over its preset's defaults; chains are followed link by link."""
    if "chain" in row.defense:
        links = [_under(link, preset) for link in row.defense["chain"]]
        return {**row.defense, "chain": links}
    return _under(row.defense, preset)


def _under(block: Block, preset: Preset) -> Block:
    return {**preset.defenses.get(str(block.get("use", "")), {}), **block}
