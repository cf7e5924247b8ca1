"""Every error a user can meet, each with the exit code it ends the command with.

AuditError                     1
 ├─ UsageError                 2   the command line or the configuration cannot be followed
 │   ├─ DataError              2   the dataset is missing something the audit needs
 │   ├─ ModelError             2   the model does not load, or does not behave like an extractor
 │   └─ UnsupportedTargetError 2   an attack or defense does not apply to this target
 ├─ StrangerExitError          1   a plug-in or a network tried to end the program
 ├─ ModelRefusedError          5   the file's format cannot be opened without trusting its author
 ├─ EnvironmentUnmetError      6   disk, device or weights are not there
 └─ VerdictError             3, 4  a gate failed or could not be judged; from Python alone

Codes 0, 3 and 4 are verdicts, not errors: see `auditor.gates`. Inside a run, an attack that raises
`UnsupportedTargetError` becomes a finding "not-applicable"; any other exception makes it "failed".
"""

from collections.abc import Iterable
from difflib import get_close_matches


class AuditError(Exception):
    """Something the reader can act on; the message names the thing and the way out."""

    exit_code = 1


class UsageError(AuditError):
    """The command line or the configuration cannot be followed."""

    exit_code = 2


class DataError(UsageError):
    """The dataset is missing something the audit needs."""


class ModelError(UsageError):
    """The model does not load, or does not behave like a feature extractor."""


class BudgetSpentError(ModelError):
    """A service was asked as often as it may be."""


class TrainingFailedError(UsageError):
    """A training diverged: a loss or a weight is no number any more."""


class UnsupportedTargetError(UsageError):
    """An attack or defense does not apply to this target."""


class StrangerExitError(AuditError):
    """A plug-in or a network tried to end the program."""


class ModelRefusedError(AuditError):
    """The file's format cannot be opened without trusting its author."""

    exit_code = 5


class EnvironmentUnmetError(AuditError):
    """Disk, device or weights are not there."""

    exit_code = 6


class VerdictError(AuditError):
    """The verdicts on a record are not ``pass``.

    Attributes:
        outcome: ``fail`` or ``inconclusive``.
    """

    def __init__(self, message: str, outcome: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.exit_code = 3 if outcome == "fail" else 4


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the way out of a mistyped name: the nearest known one, or else ``otherwise``.

    >>> did_you_mean("identiy", ["identity", "attribute"], "there are two")
    "did you mean 'identity'?"
    """
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else otherwise
