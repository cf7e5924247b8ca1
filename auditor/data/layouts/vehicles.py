"""The layouts of VeRi-Wild and VehicleID: pictures of vehicles, and lists in ``train_test_split``.

VeRi-Wild's lists contain ``vehicle/picture``, and ``vehicle_info.txt`` says the camera. VehicleID's
list ``picture vehicle``, its cameras are unknown, and queries are yet to be picked. Of several test
sets the smallest is taken.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from auditor.data.rows import Rows, list_lines, scan_pictures, within
from auditor.errors import DataError

LISTS = "train_test_split"

Record = tuple[str, int, str, str]


def find_veriwild(root: Path) -> Path | None:
    """Return ``root`` or the one folder in it that has VeRi-Wild's lists; None if there is none.

    Raises:
        DataError: if several folders in ``root`` have them.
    """
    return within(root, lambda folder: (folder / LISTS / "vehicle_info.txt").is_file())


def read_veriwild(root: Path) -> Rows:
    """Return the rows of VeRi-Wild in ``root``.

    Raises:
        DataError: if a list is missing, or a line cannot be followed.
    """
    base = _base(root, find_veriwild)
    lists = base / LISTS
    cameras = dict(_information(line) for _, line in list_lines(lists / "vehicle_info.txt"))
    test = _smallest(lists, r"test_(\d+)\.txt")
    parts = {lists / "train_list.txt": "train", test: "gallery"}
    parts[test.with_name(f"{test.stem}_query.txt")] = "query"
    records: list[Record] = []
    places: list[str] = []
    for file, split in parts.items():
        for where, line in list_lines(file) if file.is_file() else ():
            vehicle, _, picture = line.removesuffix(".jpg").partition("/")
            if not vehicle.isdecimal() or not picture:
                raise DataError(f"{where}: {line[:80]!r} is not vehicle/picture")
            path = f"images/{vehicle}/{picture}.jpg"
            records.append((path, int(vehicle), cameras.get(f"{vehicle}/{picture}", ""), split))
            places.append(where)
    return _rows("veriwild", root, base, records, places, test)


def _information(line: str) -> tuple[str, str]:
    picture, _, rest = line.partition(";")
    return picture, rest.partition(";")[0]


def find_vehicleid(root: Path) -> Path | None:
    """Return ``root`` or the one folder in it that has VehicleID's lists; None if there is none.

    Raises:
        DataError: if several folders in ``root`` have them.
    """
    return within(
        root,
        lambda folder: (
            (folder / "image").is_dir() and (folder / LISTS / "train_list.txt").is_file()
        ),
    )


def read_vehicleid(root: Path) -> Rows:
    """Return the rows of VehicleID in ``root``.

    Raises:
        DataError: if a list is missing, or a line cannot be followed.
    """
    base = _base(root, find_vehicleid)
    test = _smallest(base / LISTS, r"test_list_(\d+)\.txt")
    records: list[Record] = []
    places: list[str] = []
    for file, split in ((base / LISTS / "train_list.txt", "train"), (test, "")):
        for where, line in list_lines(file):
            match = re.fullmatch(r"(\w+)\s+(\d{1,18})", line)
            if match is None:
                raise DataError(f"{where}: {line[:80]!r} is not a picture and a vehicle")
            # vehicles are numbered from 0, which would be nobody
            records.append((f"image/{match[1]}.jpg", int(match[2]) + 1, "", split))
            places.append(where)
    rows = _rows("vehicleid", root, base, records, places, test)
    notice = (
        "Queries are drawn here; the published protocol keeps one picture of each vehicle in the "
        "gallery, at random, and searches with all others."
    )
    return replace(rows, notices=(*rows.notices, notice))


def _base(root: Path, find: Callable[[Path], Path | None]) -> Path:
    base = find(root)
    if base is None:
        raise DataError(f"{root} has no lists in {LISTS}, neither directly nor below")
    return base


def _smallest(lists: Path, name: str) -> Path:
    found = {int(m[1]): file for file in lists.iterdir() if (m := re.fullmatch(name, file.name))}
    if not found:
        raise DataError(f"{lists} has no list of a test set; take the published ones")
    return found[min(found)]


def _rows(
    layout: str, root: Path, base: Path, records: list[Record], places: list[str], test: Path
) -> Rows:
    rows = scan_pictures(layout, root, base.resolve(), records, places.__getitem__)
    return replace(rows, notices=(f"The test set is that of {test.name}.",))
