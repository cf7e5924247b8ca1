"""The layout of Market-1501: three folders, files like ``0002_c1s1_000451_03.jpg``.

The first number is the person (−1 junk, 0 distractor), the one after ``_c`` the camera.
"""

import re
from pathlib import Path

from auditor.data.rows import Rows, list_pictures, scan_pictures, within
from auditor.errors import DataError

FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
MARKER = "bounding_box_test"
NAME = re.compile(r"(-1|[0-9]{1,18})_c([0-9]{1,9})")


def find_market1501(root: Path) -> Path | None:
    """Return ``root`` or the one folder in it that has this layout; None if there is none.

    Raises:
        DataError: if several folders in ``root`` have it.
    """
    return within(root, lambda folder: (folder / MARKER).is_dir())


def read_market1501(root: Path) -> Rows:
    """Return the rows of the layout in ``root``, or one level below it; sorted by path.

    Raises:
        DataError: if the layout is not there, or a picture's name says no person and camera.
    """
    base = find_market1501(root)
    if base is None:
        raise DataError(
            f"{root} has no folder {MARKER}, neither directly nor one level below; "
            f"this layout consists of {', '.join(FOLDERS)}"
        )
    return read_boxes("market1501", root, base)


def read_boxes(layout: str, source: Path, base: Path) -> Rows:
    """Return the rows of the three folders in ``base``, for every layout that took them over.

    Raises:
        DataError: if a picture's name says no person and camera.
    """
    records, strays = [], []
    for folder, split in FOLDERS.items():
        for file in list_pictures(base / folder) if (base / folder).is_dir() else ():
            match = NAME.match(file.name)
            if match is None:
                strays.append(f"{folder}/{file.name}")
                continue
            camera = str(int(match[2]))
            records.append((f"{folder}/{file.name}", int(match[1]), camera, split))
    if strays:
        raise DataError(
            f"{source}: {len(strays)} pictures are not called person_cCamera, such as "
            f"0002_c1s1_000451_03.jpg (first: {strays[0]}); rename them, take them out, "
            "or write a manifest.csv"
        )
    return scan_pictures(layout, source, base.resolve(), records)
