"""The folder of an audit: made ready before it, rendered into after it. Needs no torch."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from auditor import plugins
from auditor.artifacts.atomic import owners_alone
from auditor.artifacts.manifest import OCCASION, OWN, PROGRESS, announce, seal
from auditor.artifacts.ownership import FOLDERS, sweep
from auditor.console import printable
from auditor.errors import AuditError, UsageError
from auditor.gates import Verdict
from auditor.report import AuditReport


def prepare(folder: Path, *, overwrite: bool, resume: bool = False) -> None:
    """Refuse to mix two runs in one folder; when told to overwrite, clear the earlier one.

    Raises:
        UsageError: if an earlier run is there, and is neither overwritten nor resumed.
    """
    sweep(folder)
    check_free(folder, overwrite=overwrite, resume=resume)
    if resume or not (folder / "report.json").exists():
        return
    for name in FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    reports = [f"report.{name}" for name in ("json", *plugins.installed("renderers"))]
    for name in (*reports, OCCASION, PROGRESS, *OWN):
        (folder / name).unlink(missing_ok=True)


def check_free(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a folder with an earlier run that is neither overwritten nor resumed.

    Raises:
        UsageError: if it is one.
    """
    if not (overwrite or resume) and (folder / "report.json").exists():
        raise UsageError(
            f"{folder} contains an earlier run; name another folder, or have it replaced "
            "(--overwrite) or continued (--resume auto)"
        )


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What became of a record.

    Attributes:
        written: the files.
        failures: why a renderer failed -> the exit code that goes with it.
    """

    written: list[Path]
    failures: Mapping[str, int]

    @property
    def exit_code(self) -> int:
        """That of the first failure; 0 where there is none."""
        return next(iter(self.failures.values()), 0)

    def raise_for_failure(self) -> None:
        """Do nothing if every renderer succeeded.

        Raises:
            AuditError: if one failed.
        """
        if self.failures:
            raise AuditError("; ".join(self.failures))


def render(
    record: AuditReport,
    verdicts: Sequence[Verdict],
    folder: Path,
    root: Path,
    formats: Sequence[str] | None,
    *,
    reveal: bool,
) -> Rendered:
    """Write ``record`` in the named formats, or in all installed ones, and seal the folder.

    A renderer that fails takes no other report along.

    Args:
        record: what to draw.
        verdicts: on its gates.
        folder: where to.
        root: the record's folder, below which its pictures lie.
        formats: names of renderers; None: all.
        reveal: whether real people are named and shown sharp.
    """
    revealing = reveal and record.real_people
    names = list(formats or plugins.installed("renderers"))
    if revealing:
        announce(folder, [f"report.{name}" for name in names])
    written, failures = list[Path](), dict[str, int]()
    for name in names:
        path = folder / f"report.{name}"
        try:
            with owners_alone() if revealing else nullcontext():
                plugins.render("renderers", name, record, verdicts, path, root=root, reveal=reveal)
        except AuditError as error:
            failures.setdefault(str(error), error.exit_code)
        except Exception as error:  # a stranger's renderer may raise anything
            said = printable(f"{type(error).__name__}: {error}")
            failures[f"the renderer {name!r} failed: {said}"] = AuditError.exit_code
        else:
            written.append(path)
    seal(folder, written, revealed=revealing)
    return Rendered(written=written, failures=failures)
