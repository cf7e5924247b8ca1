"""The verdicts on a record, as one value that can be shown, tabulated and acted on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from auditor.api import html
from auditor.errors import VerdictError
from auditor.gates import Outcome, Verdict, overall
from auditor.report import AuditReport

if TYPE_CHECKING:
    import pandas as pd


class Verdicts(Sequence[Verdict]):
    """One verdict for each gate and address, and what follows from all of them.

    Attributes:
        outcome: ``pass``, ``fail`` or ``inconclusive``; without gates, ``pass`` if everything
            planned was measured and every attack is certified.
    """

    def __init__(self, record: AuditReport, verdicts: Sequence[Verdict]) -> None:
        self._verdicts = tuple(verdicts)
        self.outcome: Outcome = overall(record, self._verdicts)

    def raise_for_outcome(self) -> "Verdicts":
        """Return the verdicts themselves if the outcome is ``pass``.

        Raises:
            VerdictError: if it is not; the message names every gate that did not pass.
        """
        if self.outcome != "pass":
            short = [v for v in self if v.decides and v.outcome != "pass"]
            lines = [f"{v.outcome.upper()} {v.address}: {v.reason}" for v in short]
            lines = lines or ["something planned was not measured, or an attack is not certified"]
            raise VerdictError(
                "\n".join([f"verdict: {self.outcome.upper()}", *lines]), self.outcome
            )
        return self

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per verdict: address, limit, observed, outcome, level, reason."""
        import pandas as pd

        columns = ("address", "limit", "observed", "outcome", "level", "reason")
        rows = [
            (v.address, v.gate.limit, v.observed, v.standing, v.gate.level, v.reason) for v in self
        ]
        return pd.DataFrame(rows, columns=list(columns))

    @overload
    def __getitem__(self, index: int) -> Verdict: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Verdict, ...]: ...
    def __getitem__(self, index: int | slice) -> Verdict | tuple[Verdict, ...]:
        return self._verdicts[index]

    def __len__(self) -> int:
        return len(self._verdicts)

    def __repr__(self) -> str:
        lines = [f"{v.standing.upper()} {v.address}: {v.reason}" for v in self]
        return "\n".join([*lines, f"verdict: {self.outcome.upper()}"])

    def _repr_html_(self) -> str:
        return html.sandbox(html.verdict_table(self, self.outcome), rows=len(self) + 2)
