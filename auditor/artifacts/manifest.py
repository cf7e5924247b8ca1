"""What an audit's folder contains, file by file, so that whoever gets it can tell it is whole.

``manifest.json`` lists the record, everything rendered from it, the journal and what is personal,
each with its size and SHA-256. It proves nothing about who wrote it; `auditor.artifacts.signing`
does.
"""

import hashlib
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from auditor import __version__
from auditor.artifacts.atomic import TEMPORARY, json_bytes, write
from auditor.artifacts.personal import PERSONAL
from auditor.artifacts.regular_file import read_regular
from auditor.errors import UsageError

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
PURGES = "purge.json"
STEPS = "steps"
NAMELESS = ("report.junit.xml", "report.md", "report.sarif")
"""What pipelines read, in which nobody is shown or named whatever was asked for."""
OWN = (MANIFEST, SIGNATURE, PURGES)
"""Files about the folder's files, which the manifest cannot list."""
MARK = "audit.lock"
"""Says that a folder is an audit's; see `auditor.artifacts.ownership`."""
OCCASION = "run.json"
"""When and by which command an audit was made."""
PROGRESS = "progress.json"
"""How far it is; see `auditor.artifacts.progress`."""
TOP = ("report.*", OCCASION, PROGRESS)
"""What an audit writes beside its folders."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A file's content."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What was there when it was written.

    Attributes:
        created: when, in UTC.
        auditor: by which version.
        revealed: files that show or name real people outside ``personal/``.
        files: path below the folder -> its content.
    """

    created: str
    auditor: str
    revealed: tuple[str, ...] = ()
    files: Mapping[str, Fingerprint] = field(default_factory=dict)
    schema: int = 1


@dataclass(frozen=True, kw_only=True)
class Purge:
    """What was removed from a folder, and what it was; see `auditor.artifacts.purge`."""

    when: str
    auditor: str
    files: Mapping[str, Fingerprint]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """How a folder differs from its manifest; every path once.

    Attributes:
        same: files that are what they were.
        changed: files with another content, and purged ones that had changed before.
        missing: files that are gone, and no purge says so.
        added: files that nobody listed.
        purged: files that were removed by a purge, as they had been.
    """

    same: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    purged: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is different but what was purged."""
        return not (self.changed or self.missing or self.added)


_MANIFEST = TypeAdapter(Manifest)
_PURGES = TypeAdapter(tuple[Purge, ...])


def seal(folder: Path, written: Sequence[Path], *, revealed: bool) -> None:
    """Write the manifest of an audit's folder, or bring it up to date.

    Only what was just written gets a new entry: a record that was changed by hand stays told.

    Args:
        folder: of a record; without one there is nothing to seal.
        written: the files that were just rendered into it.
        revealed: whether they show or name real people.
    """
    if not (folder / "report.json").is_file():
        return
    fresh = {path.relative_to(folder).as_posix() for path in written}
    if (folder / MANIFEST).exists():
        earlier = read(folder)
        files = dict(earlier.files) | fingerprints(folder, fresh)
        people = set(earlier.revealed) - fresh
    else:
        files, people = fingerprints(folder, list_files(folder)), set()
    people |= fresh - set(NAMELESS) if revealed else set()
    manifest = Manifest(
        created=now(),
        auditor=__version__,
        revealed=tuple(sorted(people)),
        files=dict(sorted(files.items())),
    )
    write(folder / MANIFEST, as_json(manifest, _MANIFEST))


def announce(folder: Path, names: Iterable[str]) -> None:
    """Write down which files are about to show or name real people, before they do.

    A writer that is killed in the middle must leave nothing that `auditor.artifacts.purge` does
    not find.
    """
    if not (folder / "report.json").is_file():
        return
    if not (folder / MANIFEST).exists():
        seal(folder, [], revealed=False)
    now_said = read(folder)
    people = {*now_said.revealed, *names} - set(NAMELESS)
    write(folder / MANIFEST, as_json(replace(now_said, revealed=_sort(people)), _MANIFEST))


def read(folder: Path) -> Manifest:
    """Return the manifest of ``folder``.

    Raises:
        UsageError: if there is none, or it is not one.
    """
    path = folder / MANIFEST
    try:
        return _MANIFEST.validate_json(read_regular(path))
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}; audit run and audit report write it"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path} is not a manifest of an audit: {first['msg']}") from None


def purges(folder: Path) -> tuple[Purge, ...]:
    """Return what was purged from ``folder`` so far.

    Raises:
        UsageError: if the record of it cannot be read.
    """
    path = folder / PURGES
    if not path.exists():
        return ()
    try:
        return _PURGES.validate_json(read_regular(path))
    except (OSError, ValidationError):
        raise UsageError(
            f"{path} is not a record of a purge; restore it, or move it away to do without"
        ) from None


def save_purges(folder: Path, found: tuple[Purge, ...]) -> None:
    """Write down everything that was ever purged from ``folder``."""
    write(folder / PURGES, as_json(found, _PURGES))


def verify(folder: Path) -> Findings:
    """Compare ``folder`` with its manifest, and what is gone with the record of purges.

    Raises:
        UsageError: if there is no manifest.
    """
    wanted = dict(read(folder).files)
    present = {path for path in everything(folder) if path not in (*OWN, MARK)}
    present = {path for path in present if not path.endswith(TEMPORARY)}  # of a killed writer
    now_there = fingerprints(folder, present & wanted.keys())
    removed = {path: was for purge in purges(folder) for path, was in purge.files.items()}
    gone = wanted.keys() - now_there.keys()
    known = gone & removed.keys()
    changed = {path for path, is_now in now_there.items() if is_now != wanted[path]}
    changed |= {path for path in known if removed[path] != wanted[path]}
    return Findings(
        same=_sort(now_there.keys() - changed),
        changed=_sort(changed),
        missing=_sort(gone - known),
        added=_sort(present - wanted.keys()),
        purged=_sort(known - changed),
    )


def list_files(folder: Path) -> list[str]:
    """Return the files of an audit, below ``folder``; what else lies there is not its own."""
    top = (path for pattern in TOP for path in folder.glob(pattern))
    below = (path for name in (PERSONAL, STEPS) for path in (folder / name).rglob("*"))
    return sorted(p.relative_to(folder).as_posix() for p in (*top, *below) if p.is_file())


def everything(folder: Path) -> list[str]:
    """Return every file below ``folder``, links that lead nowhere too."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


def fingerprints(folder: Path, paths: Iterable[str]) -> dict[str, Fingerprint]:
    """Return path -> content, for paths below ``folder``.

    Raises:
        UsageError: if one cannot be read.
    """
    return {path: _fingerprint(folder / path) for path in sorted(paths)}


def _fingerprint(path: Path) -> Fingerprint:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return Fingerprint(sha256="", size=0)  # a pipe has no content, and would be waited for
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Fingerprint(sha256=digest, size=path.stat().st_size)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def as_json(value: Any, adapter: TypeAdapter[Any]) -> bytes:
    """Strict JSON, a field per line."""
    plain = adapter.dump_python(value, mode="json")
    return json_bytes(plain)


def _sort(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(paths))
