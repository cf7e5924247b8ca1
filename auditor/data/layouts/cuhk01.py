"""The layout of CUHK01: one folder ``campus`` with files like ``0001001.png``.

The first four digits are the person, the last three the picture: 001 and 002 come from one camera,
003 and 004 from the other. No splits are published as files, so who is attacked is decided by the
rules for unlabelled pictures, or by `audit data split`.
"""

import re
from pathlib import Path

from auditor.data.rows import Rows, list_pictures, scan_pictures
from auditor.errors import DataError

FOLDER = "campus"
NAME = re.compile(r"([0-9]{4})(00[1-4])")


def find_cuhk01(root: Path) -> Path | None:
    """Return ``root`` or its folder `FOLDER`, if all pictures in it are called so; else None."""
    for base in (root, root / FOLDER):
        files = list_pictures(base) if base.is_dir() else []
        if files and all(_parse(file) for file in files):
            return base
    return None


def read_cuhk01(root: Path) -> Rows:
    """Return the rows of the layout in ``root`` or in its folder `FOLDER`, all without a split.

    Raises:
        DataError: if there are no pictures, or one's name says no person and camera.
    """
    base = root / FOLDER if (root / FOLDER).is_dir() else root
    records, strays = [], []
    for file in list_pictures(base):
        parsed = _parse(file)
        if parsed is None:
            strays.append(file.name)
        else:
            records.append((file.name, *parsed, ""))
    if strays:
        raise DataError(
            f"{base}: {len(strays)} pictures are not called like 0001001.png, four digits for the "
            f"person and 001 to 004 for the picture (first: {strays[0]}); rename them, take them "
            "out, or write a manifest.csv"
        )
    return scan_pictures("cuhk01", root, base.resolve(), records)


def _parse(file: Path) -> tuple[int, str] | None:
    """Person and camera; None if the name says neither."""
    match = NAME.fullmatch(file.stem)
    if match is None or int(match[1]) == 0:
        return None
    return int(match[1]), "1" if int(match[2]) <= 2 else "2"
