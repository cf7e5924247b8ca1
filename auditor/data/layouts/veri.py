"""The layout of VeRi-776, of vehicles: ``image_train``, ``image_query`` and ``image_test``.

Files are called like ``0002_c002_00030600_0.jpg``: vehicle, camera, frame, number in the frame.
``name_train.txt``, ``name_query.txt`` and ``name_test.txt`` say which pictures of a folder count;
where a list is missing, all do.
"""

import re
from dataclasses import replace
from pathlib import Path

from auditor.data.rows import Rows, list_lines, list_pictures, scan_pictures, within
from auditor.errors import DataError

FOLDERS = {"train": "train", "query": "query", "test": "gallery"}
"""Ending of the folder's and the list's name to split."""

NAME = re.compile(r"([0-9]{1,18})_c([0-9]{1,9})_[0-9]+_[0-9]+\.")

Record = tuple[str, int, str, str]


def find_veri(root: Path) -> Path | None:
    """Return ``root`` or the one folder in it that has this layout; None if there is none.

    Raises:
        DataError: if several folders in ``root`` have it.
    """
    return within(root, _has_folders)


def read_veri(root: Path) -> Rows:
    """Return the rows of the layout in ``root``, or one level below it; sorted by path.

    Raises:
        DataError: if the layout is not there, or a name says no vehicle and camera.
    """
    base = find_veri(root)
    if base is None:
        raise DataError(
            f"{root} has no folders image_query and image_test, neither directly nor one level "
            "below; this layout consists of them and image_train"
        )
    records: list[Record] = []
    places: list[str] = []
    notices: list[str] = []
    for part, split in FOLDERS.items():
        names, left_out = _names(base, part)
        notices += [f"{left_out} pictures of image_{part} are not in name_{part}.txt."] * bool(
            left_out
        )
        for where, name in names:
            places.append(where)
            records.append(_record(name, part, split, where))
    rows = scan_pictures("veri", root, base.resolve(), records, places.__getitem__)
    return replace(rows, notices=(*notices, *_count_doubled(records)))


def _has_folders(folder: Path) -> bool:
    return (folder / "image_query").is_dir() and (folder / "image_test").is_dir()


def _names(base: Path, part: str) -> tuple[list[tuple[str, str]], int]:
    """(where it stands, name) of the pictures that count, and how many others there are."""
    folder, names_file = base / f"image_{part}", base / f"name_{part}.txt"
    files = [file.name for file in list_pictures(folder)] if folder.is_dir() else []
    if not names_file.is_file():
        return [(f"{folder / name}", name) for name in files], 0
    names = list_lines(names_file)
    return names, len(set(files) - {name for _, name in names})


def _record(name: str, part: str, split: str, where: str) -> Record:
    match = NAME.match(Path(name).name)
    if match is None or Path(name).is_absolute():
        raise DataError(
            f"{where}: {name[:80]!r} is not called vehicle_cCamera_frame_number, such as "
            "0002_c002_00030600_0.jpg; rename it, take it out, or write a manifest.csv"
        )
    return f"image_{part}/{name}", int(match[1]), str(int(match[2])), split


def _count_doubled(records: list[Record]) -> list[str]:
    """As published, a query is in the gallery too; only the cross-camera rule keeps it apart."""
    names = {split: {Path(path).name for path, _, _, s in records if s == split}
             for split in ("query", "gallery")}  # fmt: skip
    both = len(names["query"] & names["gallery"])
    if not both:
        return []
    return [
        f"{both} queries lie in the gallery too, as VeRi is published; their own copies are "
        "ignored as same-camera matches, so keep data.cross_camera on."
    ]
