"""What names or shows people lies in one folder of an audit, and is its owner's alone.

The record and everything rendered from it carry pseudonyms. The table that undoes them, pictures of
people and names of their files are below ``personal/``, which `auditor.artifacts.purge` removes.
Whoever has the dataset and the seed can draw the pseudonyms again: this is pseudonymisation, not
anonymisation.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from auditor.artifacts.atomic import json_bytes, table, write
from auditor.artifacts.regular_file import read_regular
from auditor.errors import UsageError
from auditor.report import AuditReport, Exposed, Match, Measurement, Ranked, RankList

PERSONAL = "personal"
NAMES = f"{PERSONAL}/pseudonyms.csv"
FACTS = f"{PERSONAL}/data.json"
NOBODY = "0"
"""The identity of distractors: nobody in particular."""
LISTS_OF_FILES = (("broken", "files"), ("near_duplicates", "pairs"))
"""Facts about a dataset that name files, which are often named after people."""

Rename = Callable[[str], str]
Anything = TypeVar("Anything")


def folder(root: Path) -> Path:
    """Return the folder below ``root`` for whatever may name or show a person."""
    place = root / PERSONAL
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def lock(root: Path) -> None:
    """Take everything personal away from all but its owner."""
    place = folder(root)
    for path in (place, *place.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)


def pseudonyms(identities: Sequence[str], order: Sequence[int]) -> dict[str, str]:
    """Identity -> pseudonym: people are numbered as they come in a drawn order.

    >>> pseudonyms(["7", "12"], [1, 0])
    {'12': 'P0001', '7': 'P0002'}
    """
    return {identities[row]: f"P{number:04d}" for number, row in enumerate(order, start=1)}


def save_names(root: Path, names: Mapping[str, str]) -> str:
    """Write the table that undoes the pseudonyms, and return its digest for the record."""
    folder(root)
    rows = [(pseudonym, identity) for identity, pseudonym in names.items()]
    content = table(["pseudonym", "identity"], rows)
    write(root / NAMES, content, mode=0o600)
    return hashlib.sha256(content).hexdigest()[:16]


def save_facts(root: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about a dataset without names of files; those go below ``personal/``."""
    apart = {
        name: {key: facts[name][key]} for name, key in LISTS_OF_FILES if _lists(facts, name, key)
    }
    if apart:
        folder(root)
        write(root / FACTS, json_bytes(apart), mode=0o600)
    return without_files(facts)


def without_files(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about a dataset, without the lists of files that contain any."""
    kept = dict(facts)
    for name, key in LISTS_OF_FILES:
        if _lists(facts, name, key):
            kept[name] = {k: v for k, v in facts[name].items() if k != key}
    return kept


def _lists(facts: Mapping[str, Any], name: str, key: str) -> bool:
    value = facts.get(name)
    return isinstance(value, Mapping) and bool(value.get(key))


def under(names: Mapping[str, str]) -> Rename:
    """Return a function that renames identities; unknown ones are numbered as they turn up."""
    known = {NOBODY: NOBODY, **names}

    def rename(identity: str) -> str:
        return known.setdefault(identity, f"U{len(known) - len(names):04d}")

    return rename


def rename_people(value: Anything, rename: Rename) -> Anything:
    """Plain data with other names for the people in it; lists no longer tell who came first."""
    return _rename(value, rename)  # type: ignore[no-any-return]


def _rename(value: Any, rename: Rename) -> Any:
    if isinstance(value, tuple):
        moved = tuple(_rename(item, rename) for item in value)
        sort = moved and isinstance(moved[0], Match)
        return tuple(sorted(moved, key=lambda m: (m.query_id, m.query_camera))) if sort else moved
    if isinstance(value, Measurement):
        persons = sorted((rename(pid), sums) for pid, sums in value.persons.items())
        return replace(value, persons=dict(persons))
    if isinstance(value, Exposed):
        return replace(value, pseudonym=rename(value.pseudonym))
    if isinstance(value, Ranked):
        return replace(value, match_id=rename(value.match_id))
    if isinstance(value, Match):
        query, match = rename(value.query_id), rename(value.match_id)
        return replace(value, query_id=query, match_id=match)
    if isinstance(value, RankList):
        value = replace(value, query_id=rename(value.query_id))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    before = {field.name: getattr(value, field.name) for field in fields(value)}
    after = {name: _rename(part, rename) for name, part in before.items()}
    return replace(value, **{n: p for n, p in after.items() if p is not before[n]})


def reveal_people(report: AuditReport, root: Path) -> AuditReport:
    """Return the record with the identities behind its pseudonyms.

    Args:
        report: as it lies in ``report.json``.
        root: its folder.

    Raises:
        UsageError: if the table that undoes them is gone, or belongs to another record.
    """
    if not report.pseudonyms:
        return report
    try:
        content = read_regular(root / NAMES)
    except OSError:
        raise UsageError(
            f"{root / NAMES} is not there, so nobody can be named (was it purged?); "
            "leave out --reveal"
        ) from None
    if hashlib.sha256(content).hexdigest()[:16] != report.pseudonyms:
        raise UsageError(
            f"{root / NAMES} belongs to another record, so it would name the wrong people; "
            "put the record's own beside it or leave out --reveal"
        )
    rows = csv.DictReader(io.StringIO(content.decode()))
    identities = {row["pseudonym"]: row["identity"] for row in rows}
    return rename_people(report, lambda name: identities.get(name, name))
