"""The layout of MSMT17: lists of ``path person`` beside the folders of training and test people.

The first version calls the folders ``train`` and ``test``, the second, whose faces are masked,
``mask_train_v2`` and ``mask_test_v2``. In names such as ``0000_000_01_0303morning_0008_0.jpg`` the
third field is the camera. Both lists of people start at 0, which is a distractor here, and
training and test people share numbers, so test people are numbered from `TEST_FIRST`.
"""

import re
from dataclasses import replace
from pathlib import Path

from auditor.data.rows import Rows, list_lines, scan_pictures, within
from auditor.errors import DataError

LISTS = {
    "list_train.txt": "train",
    "list_val.txt": "train",
    "list_query.txt": "query",
    "list_gallery.txt": "gallery",
}
MARKERS = ("list_query.txt", "list_gallery.txt", "list_train.txt")
FOLDERS = {"train": ("train", "mask_train_v2"), "test": ("test", "mask_test_v2")}
TRAIN_FIRST, TEST_FIRST = 1, 10_001
CAMERA = re.compile(r"[^_]+_[^_]+_([0-9]{1,9})_")

Record = tuple[str, int, str, str]


def find_msmt17(root: Path) -> Path | None:
    """Return ``root`` or the one folder in it with the lists; None if there is none.

    Raises:
        DataError: if several folders in ``root`` have them.
    """
    return within(root, _has_lists)


def read_msmt17(root: Path) -> Rows:
    """Return the rows of the lists in ``root``, or one level below it.

    Raises:
        DataError: naming the list and the line that cannot be followed.
    """
    base = find_msmt17(root)
    if base is None:
        raise DataError(
            f"{root} has no {', '.join(LISTS)}, neither directly nor one level below; "
            "this layout is made of these lists"
        )
    records: list[Record] = []
    places: list[str] = []
    for name, split in LISTS.items():
        if not (base / name).is_file():
            continue
        folder = _folder(base, "train" if split == "train" else "test")
        for where, line in list_lines(base / name):
            places.append(where)
            records.append(_record(line, folder, split, where))
    rows = scan_pictures("msmt17", root, base.resolve(), records, places.__getitem__)
    return replace(rows, notices=_notices(base))


def _has_lists(folder: Path) -> bool:
    return any((folder / name).is_file() for name in MARKERS)


def _folder(base: Path, part: str) -> str:
    """Return the name of the folder of training or of test people."""
    there = [name for name in FOLDERS[part] if (base / name).is_dir()]
    if len(there) != 1:
        raise DataError(
            f"{base} has {'both' if there else 'none'} of the folders {' and '.join(FOLDERS[part])}"
            f", and the lists do not say which is meant; keep one"
        )
    return there[0]


def _record(line: str, folder: str, split: str, where: str) -> Record:
    path, _, pid = line.rpartition(" ")
    camera = CAMERA.match(Path(path).name)
    limit = TEST_FIRST - TRAIN_FIRST
    if camera is None or not re.fullmatch(r"[0-9]{1,9}", pid) or int(pid) >= limit:
        raise DataError(
            f"{where}: {line[:80]!r} is not of the form 'path person', such as "
            f"'0000/0000_000_01_0303morning_0008_0.jpg 0', with a person below {limit}"
        )
    if Path(path).is_absolute():
        raise DataError(f"{where}: {path!r} is absolute; give it relative to {folder}")
    first = TRAIN_FIRST if split == "train" else TEST_FIRST
    return f"{folder}/{path}", first + int(pid), str(int(camera[1])), split


def _notices(base: Path) -> tuple[str, ...]:
    notices = [
        f"Person p of the training lists has pid p + {TRAIN_FIRST}, person p of the test lists "
        f"p + {TEST_FIRST}: they are different people."
    ]
    if (base / "list_val.txt").is_file():
        notices.append("The pictures of list_val.txt show training people and were put into train.")
    return tuple(notices)
