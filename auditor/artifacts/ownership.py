"""An audit's folder is an audit's: marked as one, and at work in by one command at a time.

``audit.lock`` says that a folder was made by an audit. Without it, whatever lies under one of an
audit's names is somebody else's and stays untouched. While a command is at work in a folder it
holds a lock on that file, which the system lets go however the command ends.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.artifacts.atomic import TEMPORARY
from auditor.artifacts.manifest import MARK, OCCASION, OWN, PROGRESS, STEPS
from auditor.artifacts.personal import PERSONAL
from auditor.errors import EnvironmentUnmetError, UsageError
from auditor.report import load

try:
    import fcntl
except ImportError:  # pragma: no cover -- not on Windows
    fcntl = None  # type: ignore[assignment]

TEXT = b"An audit made this folder. The file stays: it says so, and keeps two audits apart.\n"
FOLDERS = (PERSONAL, STEPS)
NAMES = (*FOLDERS, "report.json", OCCASION, PROGRESS, *OWN)
"""What an audit writes, whichever renderers are installed."""
PATIENCE = 4
"""How often a lock is asked for: whoever looks whether it is held lets go at once."""


def check(folder: Path) -> None:
    """Refuse a folder in which an audit would touch what no audit wrote.

    Raises:
        UsageError: if it is a file, or contains something under an audit's names that is none's.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
    for name in FOLDERS:
        if (folder / name).is_symlink():
            raise UsageError(f"{folder / name} is a link, and what it leads to is not the audit's")
    if made_by_audit(folder):
        return
    found = [name for name in NAMES if os.path.lexists(folder / name)]
    found += sorted(path.name for path in folder.glob("report.*") if path.name not in NAMES)
    if found:
        raise UsageError(
            f"{folder} contains {found[0]}, which no audit wrote (there is no {MARK}); "
            "name a new or an empty folder"
        )


def made_by_audit(folder: Path) -> bool:
    """Whether an audit made ``folder``: it is marked, or contains a record from before marks."""
    mark = folder / MARK
    if mark.is_file() and not mark.is_symlink():
        return True
    if not (folder / "report.json").is_file():
        return False
    try:
        load(folder / "report.json")
    except UsageError:
        return False
    return True


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Mark ``folder`` as an audit's, and be the only command at work in it inside the block.

    Raises:
        UsageError: if it is somebody else's, or another command is at work in it.
        EnvironmentUnmetError: if it cannot be written to.
    """
    check(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(folder / MARK, flags, 0o644)
    except OSError as error:
        raise EnvironmentUnmetError(f"cannot write to {folder}: {error.strerror}") from None
    try:
        _lock(handle, folder)
        if not os.fstat(handle).st_size:
            with contextlib.suppress(OSError):  # the name alone says it
                os.write(handle, TEXT)
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Return whether a command is at work in ``folder``, as far as the file system knows."""
    try:
        handle = os.open(folder / MARK, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return not _take_lock(handle, exclusive=False)
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    for _ in range(PATIENCE):
        if _take_lock(handle, exclusive=True):
            return
        time.sleep(0.05)
    raise UsageError(f"another audit is at work in {folder}; wait for it, or name another --out")


def _take_lock(handle: int, *, exclusive: bool) -> bool:
    """Take a lock that ends with ``handle``, unless somebody holds one that bars it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def sweep(folder: Path) -> None:
    """Remove what a killed writer left; see `auditor.artifacts.atomic.write`.

    Only what lies where an audit writes, and is named as its temporary files are.
    """
    places = [folder, *(path for name in FOLDERS for path in _folders(folder / name))]
    for place in places:
        for path in place.glob(f".*{TEMPORARY}"):
            if path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)


def _folders(top: Path) -> Iterator[Path]:
    for place, _, _ in os.walk(top):  # does not follow links
        yield Path(place)
