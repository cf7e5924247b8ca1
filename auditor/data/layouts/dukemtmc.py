"""The layout of DukeMTMC-reID: Market-1501's three folders, files like ``0005_c2_f0046985.jpg``.

It is read only so that existing models can be audited on what they were made with; the dataset
itself was withdrawn, which `auditor.data.layouts.provenance` says wherever its pictures turn up.
"""

import re
from pathlib import Path

from auditor.data.layouts.market1501 import FOLDERS, find_market1501, read_boxes
from auditor.data.rows import Rows, list_pictures
from auditor.errors import DataError

NAME = re.compile(r"[0-9]{4}_c[1-8]_f[0-9]{7}\b")
SAMPLE = 20
"""Pictures of each folder whose names decide; the layout is otherwise Market-1501's."""


def find_dukemtmc(root: Path) -> Path | None:
    """Return ``root`` or the one folder in it that has this layout; None if there is none."""
    base = find_market1501(root)
    if base is None:
        return None
    folders = [base / name for name in FOLDERS if (base / name).is_dir()]
    names = [file.name for folder in folders for file in list_pictures(folder)[:SAMPLE]]
    return base if names and all(NAME.match(name) for name in names) else None


def read_dukemtmc(root: Path) -> Rows:
    """Return the rows of the layout in ``root``, or one level below it; sorted by path.

    Raises:
        DataError: if the layout is not there, or a picture's name says no person and camera.
    """
    base = find_market1501(root)
    if base is None:
        raise DataError(
            f"{root} has none of the folders {', '.join(FOLDERS)} with pictures like "
            "0005_c2_f0046985.jpg, neither directly nor one level below"
        )
    return read_boxes("dukemtmc", root, base)
