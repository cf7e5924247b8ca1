"""The result of an audit, as a script or a notebook has it in hand. Needs no torch."""

import shutil
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import finalize

from auditor import plugins
from auditor.api import folder as drawing
from auditor.api import html
from auditor.api.verdicts import Verdicts
from auditor.artifacts.atomic import write
from auditor.errors import EnvironmentUnmetError, UsageError
from auditor.gates import Gate, check, own_gates, unmatched
from auditor.gates.comparison import Comparison, compare
from auditor.report import AuditReport, Measurement, Scenario, dumps, load, pluralize

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "scenario",
    "attack",
    "metric",
    "value",
    "low",
    "high",
    "chance",
    "people",
    "certified",
)


class Report:
    """What an audit found: figures by address, tables, verdicts and pages.

    Attributes:
        record: the whole record, plain data; what it says is documented there.
        folder: where the pictures lie that it speaks of; None where there are none.
    """

    def __init__(
        self,
        record: AuditReport,
        folder: Path | None = None,
        *,
        temporary: bool = False,
    ) -> None:
        self.record = record
        self.folder = folder
        # its pictures may show real people, so nothing is left of it
        self._remove = finalize(self, shutil.rmtree, str(folder), True) if temporary else None

    @staticmethod
    def load(path: str | Path) -> "Report":
        """Read a saved record; its pictures are looked for beside it.

        Args:
            path: ``report.json``, or the folder of an audit.

        Raises:
            UsageError: if there is no record, or it cannot be read.
        """
        path = Path(path)
        path = path / "report.json" if path.is_dir() else path
        return Report(load(path), path.parent)

    def save(self, path: str | Path) -> Path:
        """Write the record as JSON, without pictures, and return where it is.

        Raises:
            UsageError: if ``path`` is a folder.
            EnvironmentUnmetError: if it cannot be written.
        """
        path = Path(path)
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a file, such as {path / 'report.json'}")
        write(path, dumps(self.record).encode())
        return path

    def close(self) -> None:
        """Remove the temporary folder with the pictures, if the audit made one."""
        if self._remove is not None:
            self._remove()
            self._remove = self.folder = None

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """The bare target, ``none``, and one scenario for each defense."""
        return self.record.scenarios

    def __getitem__(self, address: str) -> Measurement:
        """Return the figure at ``scenario/attack/metric``.

        Raises:
            KeyError: if there is none; the message names the nearest address.
        """
        found = dict(self.record.measurements())
        if address in found:
            return found[address]
        close = get_close_matches(address, found, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "report.addresses lists them"
        raise KeyError(f"no figure at {address!r}; {hint}")

    def __contains__(self, address: object) -> bool:
        return address in self.addresses

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where there is a figure, in the order of the record."""
        return tuple(address for address, _ in self.record.measurements())

    @property
    def pictures(self) -> dict[str, Path]:
        """What attacks drew: ``scenario/attack/name`` -> file, for as long as the report lives.

        Those of real people are sharp; `show` and `render` blur them.
        """
        if self.folder is None:
            return {}
        return {
            f"{scenario.defense}/{finding.attack}/{name}": self.folder / place
            for scenario in self.scenarios
            for finding in scenario.findings
            for name, place in finding.exhibits.items()
        }

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per figure: scenario, attack, metric, value, low, high, chance, people.

        The column ``certified`` says whether the attack passed its controls by that metric; it is
        missing where nothing has to be certified, as for utility and scores.
        """
        import pandas as pd

        frame = pd.DataFrame(list(self._rows()), columns=list(COLUMNS))
        return frame.astype({"certified": "boolean", "chance": "float64", "people": "int64"})

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for address, m in self.record.measurements():
            scenario, attack, metric = address.split("/", 2)
            certified = self._certified(scenario, attack, metric)
            yield scenario, attack, metric, m.value, m.low, m.high, m.chance, m.n, certified

    def _certified(self, scenario: str, attack: str, metric: str) -> bool | None:
        under = self.record.scenario(scenario)
        assert under is not None
        if attack == "ladder":
            ladder = under.ladder(metric)
            return ladder is not None and ladder.shown
        finding = self.record.finding(scenario, attack)
        if finding is None:
            return None
        power = finding.power(metric)
        return power is not None and power.shown

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates that the audit was given."""
        return tuple(own_gates(self.record))

    def judge(self, gates: Sequence[Gate] | None = None) -> Verdicts:
        """Judge the record.

        Args:
            gates: limits; None: those that the audit was given.

        Returns:
            The verdicts, their ``outcome`` and ``raise_for_outcome()``.

        Raises:
            UsageError: if a gate can match no address of this record.
        """
        asked = self.gates if gates is None else tuple(gates)
        scenarios = [scenario.defense for scenario in self.scenarios]
        attacks = dict.fromkeys(f.attack for s in self.scenarios for f in s.findings)
        for gate in asked:
            if reason := unmatched(gate, scenarios, list(attacks)):
                raise UsageError(reason)
        return Verdicts(self.record, check(self.record, asked))

    def compare(
        self, other: "Report", *, margin: float | None = None, addresses: Sequence[str] = ()
    ) -> Comparison:
        """Compare with a later report, person by person where both know the same people.

        Args:
            other: the report that may have got worse.
            margin: by how much a figure may get worse, in its own unit; None judges nothing.
            addresses: shell patterns of what is compared; empty: rank-1, mAP and the headline of
                every attack.

        Returns:
            The differences, after minus before; ``to_frame()`` tabulates them.

        Raises:
            UsageError: if ``margin`` is negative, not finite, or more than a share can change by.
        """
        return compare(self.record, other.record, addresses, margin)

    def render(
        self,
        out: str | Path | None = None,
        *,
        formats: Sequence[str] | None = None,
        gates: Sequence[Gate] | None = None,
        reveal: bool = False,
    ) -> list[Path]:
        """Write the report as pages, sheets and summaries.

        Args:
            out: folder; None: the record's own.
            formats: names of renderers, such as ``html`` or ``xlsx``; None: all installed.
            gates: limits whose verdicts it shows; None: those that the audit was given.
            reveal: whether real people are named and shown sharp.

        Returns:
            What was written.

        Raises:
            UsageError: for an unknown format, a folder that is none, or no folder at all.
            EnvironmentUnmetError: if the folder cannot be written to.
            AuditError: if a renderer fails.
        """
        folder = self._folder() if out is None else Path(out)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; name a folder")
        for name in formats or ():
            plugins.load("renderers", name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentUnmetError(f"cannot write to {folder}: {error.strerror}") from None
        verdicts, root = self.judge(gates), self.folder or folder
        done = drawing.render(self.record, verdicts, folder, root, formats, reveal=reveal)
        done.raise_for_failure()
        return done.written

    def show(self, *, reveal: bool = False) -> html.Page:
        """Return the whole page with its pictures, for a notebook to show.

        Args:
            reveal: whether real people are named and shown sharp, in this notebook too.

        Raises:
            AuditError: if it cannot be rendered.
        """
        with TemporaryDirectory() as folder:
            place = Path(folder) / "report.html"
            how = {"root": self.folder or Path(folder), "reveal": reveal}
            plugins.render("renderers", "html", self.record, self.judge(), place, **how)
            return html.Page(place.read_text(encoding="utf-8"))

    def _folder(self) -> Path:
        if self.folder is None:
            raise UsageError("this report has no folder; name one")
        return self.folder

    def _ruling(self) -> str:
        verdicts = self.judge()
        if not verdicts:
            return "no gates set"
        passed = sum(verdict.outcome == "pass" for verdict in verdicts)
        return f"{verdicts.outcome.upper()}, {passed} of {len(verdicts)} figures within their gates"

    def __repr__(self) -> str:
        names = ", ".join(scenario.defense for scenario in self.scenarios)
        attacks = dict.fromkeys(f.attack for s in self.scenarios for f in s.findings)
        unfinished = "" if self.record.complete else "; interrupted"
        return (
            f"<Report {self.record.title!r}: scenarios {names}; attacks {', '.join(attacks)}; "
            f"{pluralize(len(self.addresses), 'figure')}; {self._ruling()}{unfinished}>"
        )

    def _repr_html_(self) -> str:
        content, rows = html.summary(self.record, self._ruling())
        return html.sandbox(content, rows)
