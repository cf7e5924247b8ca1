"""What may break around an audit, and what that comes to: the table of `docs/security.md`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        tried: what breaks.
        comes_to: what is left of the audit.
        codes: with which it may end.
    """

    tried: str
    comes_to: str
    codes: str


SAME = "the same command goes on, to the same bytes"
FAULTS = {
    "kill": Fault(
        "`kill -9` before any creating, opening, renaming, removing or changing of a file",
        f"no half-written file; {SAME}",
        "137",
    ),
    "halfway": Fault(
        "`kill -9` when half of a file is written",
        f"the half has a temporary name and is removed; {SAME}",
        "137",
    ),
    "supervisor": Fault(
        "`kill -9` of the command while a stranger's model is at work",
        f"the audit and the model's worker end with it; {SAME}",
        "137",
    ),
    "full": Fault(
        "a disk that is full from any writer on, at opening or at syncing",
        f"one line, no temporary file; {SAME}",
        "6",
    ),
    "tmpdir": Fault(
        "no space in `TMPDIR`",
        "an audit of a file of weights needs none; what does says so in one line",
        "the verdict's, or 6",
    ),
    "shut": Fault(
        "a read-only file system, a folder without permission, a quota that is used up",
        "one line",
        "6",
    ),
    "sigterm": Fault("SIGTERM at any moment", f"what is finished is there; {SAME}", "143"),
    "writers": Fault("a second command in the folder", "it is refused, nothing touched", "2"),
    "nan": Fault(
        "a model that gives NaN for some pictures from some call on",
        "one line that counts them",
        "2",
    ),
    "shapes": Fault(
        "a model whose features change their shape from some call on",
        "one line with both shapes",
        "2",
    ),
    "prints": Fault(
        "a plug-in that prints a verdict, escapes included",
        "it stands on standard error, each line marked as the plug-in's",
        "the verdict's",
    ),
}


def rows() -> list[str]:
    """The table's lines."""
    return [f"| {f.tried} | {f.comes_to} | {f.codes} |" for f in FAULTS.values()]
