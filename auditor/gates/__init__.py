"""Judges a record against limits; three outcomes, and what was not shown never passes."""

from auditor.gates.gate import (
    CLAIMS,
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_OK,
    WITHHELD,
    Gate,
    Outcome,
    Verdict,
    Waiver,
    decimals,
    exit_code,
    limit_text,
    shown_address,
    unmatched,
)
from auditor.gates.outranked import outranked, unexcused
from auditor.gates.own import own_gates
from auditor.gates.verdicts import check, overall

__all__ = [
    "CLAIMS",
    "EXIT_FAILED",
    "EXIT_INCONCLUSIVE",
    "EXIT_OK",
    "WITHHELD",
    "Gate",
    "Outcome",
    "Verdict",
    "Waiver",
    "check",
    "decimals",
    "exit_code",
    "limit_text",
    "outranked",
    "overall",
    "own_gates",
    "shown_address",
    "unexcused",
    "unmatched",
]
