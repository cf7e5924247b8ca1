"""What was tried on an audit, and what that comes to: the tables of `docs/security.md`.

A test says which rows it shows by a mark, ``@pytest.mark.shows("yaml")``. At the end of a run,
pytest prints how often each row was tried and contained.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Row:
    """One kind of harm.

    Attributes:
        tried: what is fed to the tool, or breaks.
        comes_to: what is left of it.
        codes: with which the command may end.
    """

    tried: str
    comes_to: str
    codes: str


CORPUS = {
    "script reaches": Row(
        "TorchScript that saves a file, maps one into its features, prints a verdict",
        "no file, no content, nothing printed",
        "the verdict's, or 2",
    ),
    "model ends": Row(
        "TorchScript or own Python that never ends, wants 16 GB, ends its process, crashes it",
        "stopped at its time limit, denied the memory; the audit reports it and continues",
        "2, or 4 within an audit",
    ),
    "own code": Row(
        "own Python that connects, sends, runs programs, forks, signals, writes, changes modes, "
        "reads, lists, reaches for the environment and open files",
        "denied",
        "the verdict's",
    ),
    "pt2": Row(
        "`.pt2` with a pickle in it, on which torch falls back to full unpickling", "refused", "5"
    ),
    "killed": Row("an audit that is killed while a worker runs", "the worker dies with it", "137"),
    "named code": Row(
        "safetensors whose metadata names code (`sys:exit`, an adjacent module), as model, judge, "
        "initial weights or model to defend",
        "refused before anything is imported; if the user gives `--arch`, the file's card still "
        "applies",
        "5",
    ),
    "metadata": Row("metadata nested 100,000 levels deep, truncated or malformed", "refused", "2"),
    "zip": Row(
        "zip checkpoints with a second table of contents, leading or trailing bytes, compressed or "
        "repeated members",
        "refused",
        "5",
    ),
    "claims": Row("weights that claim terabytes, or more than their file holds", "refused", "2"),
    "raises": Row(
        "attacks that exit, or raise exceptions that should not be caught or cannot be printed",
        "that finding is `failed`; the others are unaffected",
        "4",
    ),
    "returns": Row(
        "attacks that return nothing, tensors, NaN, unknown types, thousands of figures, pictures "
        "outside the folder or behind links",
        "that finding is `failed`",
        "4",
    ),
    "modifies": Row(
        "attacks that modify their inputs in place, or replace cached results",
        "no other figure changes; the latter is `failed`",
        "4",
    ),
    "world": Row(
        "attacks that change people's labels, torch's settings, the working folder or the umask",
        "restored afterwards; changed labels make the finding `failed`",
        "4",
    ),
    "defenses": Row(
        "defenses that exit, return nothing, or release other shapes, NaN, nothing",
        "that scenario is `failed`",
        "4",
    ),
    "renderers": Row(
        "renderers that exit or raise",
        "every other report is written; the verdict is unaffected",
        "1, or the verdict's",
    ),
    "imported": Row("plug-ins that exit when imported", "refused", "2"),
    "parameters": Row("NaN or infinity as parameters of plug-ins", "refused", "2"),
    "ended": Row(
        "code that calls `os._exit(0)`, crashes or kills the process",
        "a message that there is no verdict",
        "1, 128 + signal",
    ),
    "deaf": Row("code that ignores SIGTERM", "killed after ten seconds", "143"),
    "reader": Row(
        "a reader that leaves (`audit gate … | head -1`)", "the verdict's own code", "0, 3, 4"
    ),
    "full output": Row("standard output on a full disk", "an error message", "6"),
    "strangers": Row(
        "`--out` set to a folder that no audit made but that contains `steps/`, `personal/`, "
        "`report.*`, `manifest.json`; with `--overwrite`, `--resume`; `audit purge` of it",
        "refused, nothing touched",
        "2",
    ),
    "links": Row("`personal/` or `steps/` that are links", "not followed", "2"),
    "two audits": Row(
        "two audits in one folder, or a purge during one", "the second is refused", "2"
    ),
    "purge": Row(
        "`audit purge` without a record, with a damaged one, or after a killed writer; with pipes "
        "among the people or in the manifest's place",
        "everything that may name people is removed",
        "0",
    ),
    "edited step": Row(
        "steps edited after they were sealed, then `--resume`",
        "those steps are run again",
        "the verdict's",
    ),
    "yaml": Row(
        "YAML: nested aliases, recursion, repeated keys, 20,000 levels, tags, invalid dates, "
        "integers of 5,000 digits, 1 MiB, escapes",
        "refused",
        "2",
    ),
    "records": Row(
        "records: deeply nested, truncated, malformed; gates malformed in 13 ways, a misspelt "
        "level or key",
        "refused",
        "2",
    ),
    "altered": Row(
        "records, policies, configurations and manifests with parts replaced by odd values",
        "read, or refused",
        "2 where refused",
    ),
    "limit": Row("a limit out of range for a share (`limit: 10`)", "inconclusive", "4"),
    "pipes": Row(
        "pipes as model, record, configuration, policy, attributes, signature",
        "refused at once",
        "2",
    ),
    "sealed pipe": Row(
        "a pipe in place of a file that the manifest lists, for `audit verify`",
        "a change; not waited for",
        "3",
    ),
    "own files": Row(
        "pipes, links, folders and damaged JSON in place of a run's own files, for `audit status` "
        "and when a run is resumed",
        "taken for not there",
        "130, or the verdict's",
    ),
    "stored command": Row(
        "a run folder whose stored command is not `audit …` or contains shell syntax, for "
        "`audit status`",
        "quoted, or not shown",
        "130",
    ),
    "services": Row(
        "services that send a byte now and then, in headers or content; answers with texts, null "
        "or no numbers",
        "the time limit holds; refused",
        "2, or 4 within an audit",
    ),
    "pictures": Row(
        "pictures with more than 8 bits per channel",
        "refused as unreadable, never read as white",
        "2",
    ),
    "npz": Row(
        "`.npz` files whose arrays have malformed headers, or claim more than the file holds",
        "refused",
        "2",
    ),
    "labels": Row(
        "labels such as `..`, with control characters, or 300 characters long", "refused", "2"
    ),
    "long names": Row("names longer than a file's can be, for any command", "refused", "2"),
    "forged lines": Row(
        "file names with line breaks and escapes that imitate the tool's own lines, for "
        "`audit data check`, `audit verify` and `audit purge`",
        "their control characters are replaced",
        "0, or 3",
    ),
    "study": Row(
        "a record whose scenario names lead out of its folder, for `audit study`", "refused", "2"
    ),
}

SAME = "the same command goes on, to the same bytes"
FAULTS = {
    "kill": Row(
        "`kill -9` before any creating, opening, renaming, removing or changing of a file",
        f"no half-written file; {SAME}",
        "137",
    ),
    "halfway": Row(
        "`kill -9` when half of a file is written",
        f"the half has a temporary name and is removed; {SAME}",
        "137",
    ),
    "supervisor": Row(
        "`kill -9` of the command while a stranger's model is at work",
        f"the audit and the model's worker end with it; {SAME}",
        "137",
    ),
    "full": Row(
        "a disk that is full from any writer on, at opening or at syncing",
        f"one line, no temporary file; {SAME}",
        "6",
    ),
    "tmpdir": Row(
        "no space in `TMPDIR`",
        "an audit of a file of weights needs none; what does says so in one line",
        "the verdict's, or 6",
    ),
    "shut": Row(
        "a read-only file system, a folder without permission, a quota that is used up",
        "one line",
        "6",
    ),
    "sigterm": Row("SIGTERM at any moment", f"what is finished is there; {SAME}", "143"),
    "writers": Row("a second command in the folder", "it is refused, nothing touched", "2"),
    "nan": Row(
        "a model that gives NaN for some pictures from some call on",
        "one line that counts them",
        "2",
    ),
    "shapes": Row(
        "a model whose features change their shape from some call on",
        "one line with both shapes",
        "2",
    ),
    "prints": Row(
        "a plug-in that prints a verdict, escapes included",
        "it stands on standard error, each line marked as the plug-in's",
        "the verdict's",
    ),
}

TABLES = {
    ("input", "outcome", "exit code"): CORPUS,
    ("fault", "comes to", "exit code"): FAULTS,
}
"""The tables below their headings."""


def markdown(heading: tuple[str, ...], table: dict[str, Row]) -> str:
    """A table, as the page on security has it."""
    cells = [heading, *((row.tried, row.comes_to, row.codes) for row in table.values())]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in cells)
    first, *rest = (f"| {' | '.join(line)} |" for line in escaped)
    return "\n".join([first, "|---" * len(heading) + "|", *rest])


def tally(reports: Iterable[pytest.TestReport]) -> tuple[Counter[str], Counter[str]]:
    """How often each row was tried, and contained; a canary may be missed at a test's very end."""
    shown = {}
    broken = set()
    for report in reports:
        shown[report.nodeid] = [key for name, key in report.user_properties if name == "shows"]
        if report.failed:
            broken.add(report.nodeid)
    tried = Counter(key for keys in shown.values() for key in keys)
    return tried, tried - Counter(key for test in broken for key in shown[test])
