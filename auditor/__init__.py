"""Measures what a person re-identification model gives away about the people in its gallery.

Every public name is imported when it is first asked for, so that `import auditor` needs no torch
and judging and rendering a saved report stays instant; `auditor.types` is where tensors begin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.api.auditing import audit
    from auditor.api.evaluation import evaluate
    from auditor.api.opening import open_dataset, open_model, synthetic_dataset
    from auditor.api.report import Report
    from auditor.api.verdicts import Verdicts
    from auditor.errors import AuditError, VerdictError
    from auditor.gates import Gate
    from auditor.models.card import Card
    from auditor.report import Adversary, Finding, Measurement
    from auditor.types import AttackResult, ReIDDataset, RunContext, Split, Target

__version__ = "0.1.0"

__all__ = [
    "Adversary",
    "AttackResult",
    "AuditError",
    "Card",
    "Finding",
    "Gate",
    "Measurement",
    "ReIDDataset",
    "Report",
    "RunContext",
    "Split",
    "Target",
    "VerdictError",
    "Verdicts",
    "audit",
    "evaluate",
    "open_dataset",
    "open_model",
    "synthetic_dataset",
]

_HOMES = {
    "auditor.api.auditing": ("audit",),
    "auditor.api.evaluation": ("evaluate",),
    "auditor.api.opening": ("open_dataset", "open_model", "synthetic_dataset"),
    "auditor.api.report": ("Report",),
    "auditor.api.verdicts": ("Verdicts",),
    "auditor.errors": ("AuditError", "VerdictError"),
    "auditor.gates": ("Gate",),
    "auditor.models.card": ("Card",),
    "auditor.report": ("Adversary", "Finding", "Measurement"),
    "auditor.types": ("AttackResult", "ReIDDataset", "RunContext", "Split", "Target"),
}
"""Module -> its public names."""

if not TYPE_CHECKING:  # or a type checker would take any name for one of this package

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(home), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
