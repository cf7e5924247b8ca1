"""The layouts of SYSU-MM01 and RegDB, whose people are seen by visible and by infrared cameras.

The published protocols search visible pictures by infrared ones (SYSU-MM01, "all search"), or
infrared by visible ones (RegDB). SYSU-MM01: ``cam1`` to ``cam6`` with a folder per person, and
lists of people in ``exp``; cameras 3 and 6 see infrared, and cameras 2 and 3 the same place. RegDB:
``idx`` with lists of ``path number`` for each of ten trials, of which the first is taken.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from auditor.data.rows import Rows, list_folders, list_lines, list_pictures, scan_pictures, within
from auditor.errors import DataError

INFRARED = (3, 6)
SYSU_LISTS = {"train_id.txt": "train", "val_id.txt": "train", "test_id.txt": "test"}
CAMERA = re.compile(r"cam([1-6])")

REGDB_LISTS = {
    "train_visible_1.txt": ("train", "visible"),
    "train_thermal_1.txt": ("train", "thermal"),
    "test_visible_1.txt": ("query", "visible"),
    "test_thermal_1.txt": ("gallery", "thermal"),
}

Record = tuple[str, int, str, str]


def find_sysu(root: Path) -> Path | None:
    """``root`` or the one folder in it with SYSU-MM01's lists and cameras; None if there is none.

    Raises:
        DataError: if several folders in ``root`` have them.
    """
    return within(root, lambda f: (f / "exp" / "test_id.txt").is_file() and (f / "cam1").is_dir())


def read_sysu(root: Path) -> Rows:
    """Return the rows of SYSU-MM01 in ``root``: infrared queries, a visible gallery.

    Raises:
        DataError: if the layout is not there, or a list contains no numbers.
    """
    base = find_sysu(root)
    if base is None:
        raise DataError(f"{root} has no folders exp and cam1 to cam6, as SYSU-MM01 has them")
    splits = {
        pid: split
        for name, split in SYSU_LISTS.items()
        if (base / "exp" / name).is_file()
        for pid in _numbers(base / "exp" / name)
    }
    rows = scan_pictures("sysu_mm01", root, base.resolve(), _sysu(base, splits))
    notice = (
        "Visible pictures are searched by infrared ones, all cameras on both sides, with every "
        "visible picture in the gallery; the published protocol draws one or ten of each person "
        "and camera."
    )
    return replace(rows, notices=(notice,))


def _sysu(base: Path, splits: dict[int, str]) -> Iterator[Record]:
    for folder in list_folders(base):
        match = CAMERA.fullmatch(folder.name)
        for person in list_folders(folder) if match else ():
            pid = int(person.name) if person.name.isdecimal() else -1
            split = splits.get(pid)
            if match is None or split is None:
                continue
            if split == "test":
                split = "query" if int(match[1]) in INFRARED else "gallery"
            # cameras 2 and 3 see the same place, so their matches do not count
            place = "2" if match[1] == "3" else match[1]
            for file in list_pictures(person):
                yield f"{folder.name}/{person.name}/{file.name}", pid, place, split


def _numbers(file: Path) -> list[int]:
    found = [text.strip() for _, line in list_lines(file) for text in line.split(",")]
    if not all(text.isdecimal() for text in found if text):
        raise DataError(
            f"{file} contains more than numbers between commas; take the published list"
        )
    return [int(text) for text in found if text]


def find_regdb(root: Path) -> Path | None:
    """Return ``root`` or the one folder in it with RegDB's lists; None if there is none.

    Raises:
        DataError: if several folders in ``root`` have them.
    """
    return within(root, lambda f: (f / "idx" / "test_visible_1.txt").is_file())


def read_regdb(root: Path) -> Rows:
    """Return the rows of RegDB's first trial in ``root``: visible queries, a thermal gallery.

    Raises:
        DataError: if the layout is not there, or a line cannot be followed.
    """
    base = find_regdb(root)
    if base is None:
        raise DataError(f"{root} has no folder idx with test_visible_1.txt, as RegDB has it")
    records: list[Record] = []
    places: list[str] = []
    for name, (split, kind) in REGDB_LISTS.items():
        for where, line in (
            list_lines(base / "idx" / name) if (base / "idx" / name).is_file() else ()
        ):
            path = line.rsplit(maxsplit=1)[0]
            person = Path(path).parent.name
            if not person.isdecimal():
                raise DataError(f"{where}: {path[:80]!r} lies in no folder with a person's number")
            # the lists number people anew in each; the folders do not, and some begin at 0
            records.append((path, int(person) + 1, kind, split))
            places.append(where)
    rows = scan_pictures("regdb", root, base.resolve(), records, places.__getitem__)
    notice = "The first of ten trials: thermal pictures are searched by visible ones."
    return replace(rows, notices=(notice,))
