"""Going on with an audit that was interrupted, or asking more of one that was finished.

Kept is what the same model, people, judges, seed and software came to; each step of the journal
says by itself which of the other settings it depends on (`auditor.pipeline.plan`).
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from auditor.artifacts import progress
from auditor.artifacts.manifest import MANIFEST, PURGES, SIGNATURE, STEPS, verify
from auditor.artifacts.ownership import FOLDERS, made_by_audit
from auditor.artifacts.personal import without_files
from auditor.errors import UsageError
from auditor.report import AuditReport, dumps, load

log = logging.getLogger(__name__)

BY_STEP = (
    "attacks",
    "budget",
    "budget_scenarios",
    "controls",
    "defenses",
    "gates",
    "preset",
    "rank_lists",
    "ranking",
    "study",
)
"""Settings that some steps depend on and others do not, or none, like the limits of gates."""


class AnotherRunError(UsageError):
    """The folder contains a run of something else, or what a purge left of one."""


def resume(out: Path, head: AuditReport) -> bool:
    """Prepare ``out`` for resuming its run; returns whether there is one; see `can_resume`."""
    if not can_resume(out, head):
        return False
    _drop_changed_steps(out)
    for name in (MANIFEST, SIGNATURE):
        (out / name).unlink(missing_ok=True)  # they are about files that are to change
    return True


def can_resume(out: Path, head: AuditReport) -> bool:
    """Return whether ``out`` holds a run that can be gone on with; nothing is changed.

    Args:
        out: folder of the earlier run.
        head: the record of the run at hand, before any step has run.

    Raises:
        AnotherRunError: if the earlier run was of something else, was purged, or was finished and
            signed; it stays as it is.
    """
    record = out / "report.json"
    if not record.exists():  # it may have ended within its first step
        begun = progress.read(out)
        return begun is not None and begun.basis == basis(head)
    if (out / PURGES).exists():
        raise AnotherRunError(f"{out} was purged, so its journal is gone; name another --out")
    before = load(record)
    if found := difference(_base(before), _base(head)):
        raise AnotherRunError(
            f"{out} contains a run that cannot be resumed: {found}; "
            "name another --out or pass --overwrite"
        )
    if before.complete and (out / SIGNATURE).exists():
        raise AnotherRunError(
            f"{out} contains a finished run that was signed, and continuing it would void the "
            f"signature; name another --out, or take {out / SIGNATURE} away first"
        )
    return True


def clear(out: Path) -> None:
    """Take away what a run that is not gone on with has left: its journal and its people."""
    if made_by_audit(out):
        for name in FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)


def basis(head: AuditReport) -> str:
    """Return a digest of what every step depends on."""
    return hashlib.sha256(json.dumps(_base(head), sort_keys=True).encode()).hexdigest()


def _drop_changed_steps(out: Path) -> None:
    """Forget steps that are no longer what was sealed: they are run again, not sealed again."""
    if not (out / MANIFEST).exists():
        return
    try:
        changed = verify(out).changed
    except UsageError:
        return  # a manifest that is none says nothing
    for path in changed:
        if path.startswith(f"{STEPS}/"):
            log.warning("%s was changed since it was sealed; that step is run again", out / path)
            (out / path).unlink(missing_ok=True)


def _base(report: AuditReport) -> Mapping[str, Any]:
    """Return what every step depends on."""
    config = {key: value for key, value in report.config.items() if key not in BY_STEP}
    head = replace(report, config=config, data=without_files(report.data), pseudonyms="")
    bare = replace(head, probe=(), scenarios=(), scores=(), complete=False)
    return json.loads(dumps(bare))  # type: ignore[no-any-return]


def difference(before: Any, now: Any, path: str = "") -> str:
    """Return the first place where plain values differ, in words; empty if there is none.

    >>> difference({"seed": 1, "data": {"name": "a"}}, {"seed": 1, "data": {"name": "b"}})
    "data.name was 'a' and is 'b'"
    """
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return "" if before == now else f"{path} was {before!r} and is {now!r}"
    for key in {**before, **now}:
        inner = f"{path}.{key}" if path else key
        if found := difference(before.get(key), now.get(key), inner):
            return found
    return ""
