"""The layout of CUHK03-NP: Market-1501's three folders below ``labeled`` or ``detected``.

The new protocol (Zhong et al., CVPR 2017) divides CUHK03's 1,467 people into 767 for training and
700 for testing, once with boxes drawn by hand and once with detected ones; files are called like
``0001_c1_1.png``.
"""

from pathlib import Path

from auditor.data.layouts.market1501 import MARKER, read_boxes
from auditor.data.rows import Rows
from auditor.errors import DataError

VARIANTS = ("labeled", "detected")
INNER = "cuhk03-np"


def find_cuhk03np(root: Path) -> Path | None:
    """Return ``root`` or the variant below it; None if there is none.

    Raises:
        DataError: if both variants are there, for they show the same people.
    """
    if root.resolve().name in VARIANTS and (root / MARKER).is_dir():
        return root
    places = [base / variant for base in (root, root / INNER) for variant in VARIANTS]
    there = [place for place in places if (place / MARKER).is_dir()]
    if len(there) > 1:
        raise DataError(
            f"{root} contains both variants of CUHK03-NP, which show the same people; "
            f"name one of them: {', '.join(map(str, there))}"
        )
    return there[0] if there else None


def read_cuhk03np(root: Path) -> Rows:
    """Return the rows of the variant in ``root`` or below it; sorted by path.

    Raises:
        DataError: if there is none or there are both, or a picture's name says no person.
    """
    base = find_cuhk03np(root)
    if base is None:
        raise DataError(
            f"{root} has no folder {' or '.join(VARIANTS)} with {MARKER} in it; name the folder "
            "cuhk03-np, or choose the layout market1501 for its three folders alone"
        )
    return read_boxes("cuhk03np", root, base)
