"""The layout that torchreid makes of CUHK03: pictures, and splits in JSON.

``images_labeled`` or ``images_detected`` contain files like ``1_001_1_01.png``;
``splits_new_labeled.json`` says who is trained on, who searches, and who is found. Paths in it are
those of the machine that wrote it, so only the files' names count.
"""

import json
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

from auditor.data.rows import Rows, scan_pictures, within
from auditor.errors import DataError

VARIANTS = ("detected", "labeled")
"""torchreid makes both, and reads the first unless it is told otherwise."""
SPLITS = ("train", "query", "gallery")

Record = tuple[str, int, str, str]


def find_cuhk03(root: Path) -> Path | None:
    """Return ``root`` or the one folder in it with torchreid's splits; None if there is none.

    Raises:
        DataError: if several folders in ``root`` have them.
    """
    return within(root, lambda folder: any((folder / _name(v)).is_file() for v in VARIANTS))


def _name(variant: str) -> str:
    return f"splits_new_{variant}.json"


def read_cuhk03(root: Path) -> Rows:
    """Return the rows of the new protocol's split in ``root``, detected boxes before labelled ones.

    Raises:
        DataError: if the layout is not there, or its JSON is of another shape.
    """
    base = find_cuhk03(root)
    if base is None:
        raise DataError(f"{root} has no {_name('detected')}, as torchreid makes it of CUHK03")
    variant = next(v for v in VARIANTS if (base / _name(v)).is_file())
    file = base / _name(variant)
    try:
        split = json.loads(file.read_text(encoding="utf-8"))[0]
        records = [
            _record(entry, split_name, variant, first)
            for split_name, first in zip(SPLITS, (1, 10_001, 10_001), strict=True)
            for entry in split[split_name]
        ]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise DataError(f"{file} is not a list of splits as torchreid writes it: {error}") from None
    rows = scan_pictures("cuhk03", root, base.resolve(), records)
    notice = (
        f"The new protocol's split of the {variant} boxes ({_name(variant)}); train and test "
        "people are renumbered."
    )
    return replace(rows, notices=(notice,))


def _record(entry: Any, split: str, variant: str, first: int) -> Record:
    path, pid, camid = entry
    # both slashes part folders in it, whatever machine this is
    name = PureWindowsPath(str(path)).name
    return f"images_{variant}/{name}", first + int(pid), str(int(camid) + 1), split
