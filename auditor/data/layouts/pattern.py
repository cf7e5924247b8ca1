"""Pictures whose own names say who they show: the user's pattern reads them.

A regular expression with named groups is matched against each picture's path below the folder:
``pid`` must be there, ``camid``, ``split``, ``track`` and ``time`` may.
"""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from auditor.data.rows import (
    SPLITS,
    Rows,
    list_folders,
    list_pictures,
    number_people,
    scan_pictures,
)
from auditor.errors import DataError

GROUPS = ("pid", "camid", "split", "track", "time")
LONGEST = 500


def read_pattern(root: Path, pattern: str) -> Rows:
    """Return the rows of every picture below ``root`` whose path the pattern matches.

    Raises:
        DataError: if the pattern is none, or matches nothing.
    """
    expression = _compile(pattern)
    files = [file.relative_to(root).as_posix() for file in _pictures(root)]
    found = {path: match for path in files if (match := expression.search(path))}
    if not found:
        first = f" (the first is {files[0]!r})" if files else ""
        raise DataError(f"{root}: the pattern matches none of {len(files)} pictures{first}")
    said = pd.DataFrame(
        [[match.groupdict().get(name) or "" for name in GROUPS] for match in found.values()],
        columns=list(GROUPS),
    )
    wrong = sorted(set(said["split"]) - {*SPLITS, ""})
    if wrong:
        raise DataError(f"{root}: the pattern reads the split {wrong[0]!r}; it takes {SPLITS}")
    pids, notices = number_people(said["pid"].tolist())
    records = list(zip(found, pids, said["camid"], said["split"], strict=True))
    rows = scan_pictures("pattern", root, root.resolve(), records)
    kept = [name for name in ("track", "time") if name in expression.groupindex]
    lost = len(files) - len(found)
    if lost:
        notices = (*notices, f"{lost} pictures do not match the pattern and were left out.")
    return replace(rows, attributes=said[kept], notices=notices)


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(f"the pattern {pattern[:80]!r} is not valid: {error}") from None
    unknown = sorted(set(expression.groupindex) - set(GROUPS))
    if "pid" not in expression.groupindex or unknown or len(pattern) > LONGEST:
        raise DataError(
            f"the pattern {pattern[:80]!r} needs the group (?P<pid>…), and may have "
            f"{', '.join(GROUPS[1:])} beside it"
        )
    return expression


def _pictures(folder: Path) -> list[Path]:
    deeper = [file for below in list_folders(folder) for file in _pictures(below)]
    return [*list_pictures(folder), *deeper]
