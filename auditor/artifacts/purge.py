"""Takes what names or shows people out of an audit's folder, and writes down that it did.

Removed are ``personal/``, the journal ``steps/`` and renderings made with ``--reveal``. The files
are unlinked, not overwritten: backups, snapshots and the disk itself may still hold them.
"""

import shutil
from pathlib import Path

from auditor import __version__
from auditor.artifacts.manifest import (
    MANIFEST,
    MARK,
    NAMELESS,
    STEPS,
    Purge,
    everything,
    fingerprints,
    now,
    purges,
    read,
    save_purges,
)
from auditor.artifacts.ownership import hold_folder, made_by_audit, sweep
from auditor.artifacts.personal import PERSONAL
from auditor.errors import EnvironmentUnmetError, UsageError
from auditor.report import load

REMOVED = (PERSONAL, STEPS)


def purge(folder: Path) -> Purge:
    """Remove the personal files of an audit; what was removed lies in ``purge.json`` before.

    Args:
        folder: made by an audit, however far it came.

    Returns:
        What was removed now; no files if there was nothing left.

    Raises:
        UsageError: if ``folder`` is no audit's, what is to be removed is a link, or an audit is at
            work there.
        EnvironmentUnmetError: if the disk refuses.
    """
    if not made_by_audit(folder):
        load(folder / "report.json")  # which says what is wrong with it
    if (folder / MARK).exists():
        with hold_folder(folder):
            return _purge(folder)
    return _purge(folder)


def _purge(folder: Path) -> Purge:
    sweep(folder)
    paths = [path for path in everything(folder) if path.split("/")[0] in REMOVED]
    paths += [path for path in _find_revealing(folder) if (folder / path).is_file()]
    for path in (*REMOVED, *paths):
        if (folder / path).is_symlink():
            raise UsageError(f"{folder / path} is a link, and what it leads to is not the audit's")
    done = Purge(when=now(), auditor=__version__, files=fingerprints(folder, paths))
    if paths:
        # before the files go: afterwards nobody could say what they were
        save_purges(folder, (*purges(folder), done))
    _remove(folder, paths)
    return done


def _find_revealing(folder: Path) -> tuple[str, ...]:
    """Return renderings that show real people."""
    try:
        revealed = read(folder).revealed
    except UsageError:
        if not (folder / MARK).exists():
            if (folder / MANIFEST).exists():
                raise
            return ()
        # nobody can say what had been shown: a writer was cut short, or the manifest is damaged
        renderings = {path.name for path in folder.glob("report.*")}
        return tuple(sorted(renderings - {"report.json", *NAMELESS}))
    # a manifest may come from a stranger: only renderings may be removed on its word
    return tuple(
        path
        for path in revealed
        if path.startswith("report.") and "/" not in path and path != "report.json"
    )


def _remove(folder: Path, paths: list[str]) -> None:
    try:
        for path in paths:
            (folder / path).unlink(missing_ok=True)
        for name in REMOVED:
            if (folder / name).exists():
                shutil.rmtree(folder / name)
    except OSError as error:
        raise EnvironmentUnmetError(
            f"cannot remove {error.filename}: {error.strerror}; once it can be, purge again"
        ) from None
