"""The layouts of one folder per person, the folder's name being any text.

``root/<person>/*.jpg``, or ``root/<person>/<camera>/*.jpg``; with folders called like splits above
(``root/query/<person>/…``), these decide the split. Without folders for them, the camera is read
from ``_c<number>`` in the files' names if all of them have it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from auditor.data.rows import Rows, list_folders, list_pictures, scan_pictures
from auditor.errors import DataError

CAMERA = re.compile(r"_c([0-9]{1,9})")

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("query", "probe"), "query"),
    "gallery": "gallery",
    "auxiliary": "auxiliary",
    **dict.fromkeys(("test", "testing", "val", "valid", "validation"), ""),
}
"""Name of a folder to split; of those whose people are attacked, queries are yet to be picked."""


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """A picture in a person's folder.

    Attributes:
        path: below the dataset's folder.
        person: the folder's name.
        camera: the name of a folder in it; empty if there is none.
        split: by the folder above.
    """

    path: str
    person: str
    camera: str
    split: str


def has_persons(root: Path) -> bool:
    """Return whether there are folders that contain pictures, or folders with pictures."""
    return any(map(_has_pictures, list_folders(root)))


def _has_pictures(folder: Path) -> bool:
    return bool(list_pictures(folder)) or any(map(list_pictures, list_folders(folder)))


def has_split_folders(root: Path) -> bool:
    """Return whether folders called like splits contain one folder per person."""
    return any(
        folder.name.lower() in SPLITS and has_persons(folder) for folder in list_folders(root)
    )


def read_folder(root: Path) -> Rows:
    """Return rows of the folders in ``root``, persons numbered from 1 in the order of their names.

    Raises:
        DataError: if no folder in ``root`` contains pictures.
    """
    pictures, empty = _persons(root, root, "")
    if not pictures:
        raise DataError(
            f"{root} has no folders with pictures in them, so nothing says who is who; "
            "make one folder per person, or write a manifest.csv with path,pid,camid,split"
        )
    rows = _rows("folder", root, pictures)
    return replace(rows, notices=_left_out(len(list_pictures(root)), empty))


def read_split_folders(root: Path) -> Rows:
    """Return the rows of ``root/<split>/<person>``; a name is one person in all splits.

    Raises:
        DataError: if no folder called like a split contains folders with pictures.
    """
    pictures: list[_Picture] = []
    empty = loose = 0
    for folder in list_folders(root):
        if folder.name.lower() in SPLITS:
            found, without = _persons(root, folder, SPLITS[folder.name.lower()])
            pictures += found
            empty += without
            loose += len(list_pictures(folder))
    if not pictures:
        raise DataError(
            f"{root} has no folders {', '.join(SPLITS)} with one folder per person in them"
        )
    return replace(_rows("split_folders", root, pictures), notices=_left_out(loose, empty))


def _persons(root: Path, folder: Path, split: str) -> tuple[list[_Picture], int]:
    """Return the pictures of the people in ``folder``, and how many folders have none."""
    found: list[_Picture] = []
    empty = 0
    for person in list_folders(folder):
        mine = [
            _Picture(
                path=file.relative_to(root).as_posix(),
                person=person.name,
                camera=place.name if place != person else "",
                split=split,
            )
            for place in (person, *list_folders(person))
            for file in list_pictures(place)
        ]
        found += mine
        empty += not mine
    return found, empty


def _rows(layout: str, root: Path, pictures: list[_Picture]) -> Rows:
    pids = {name: pid for pid, name in enumerate(sorted({p.person for p in pictures}), start=1)}
    cameras = _cameras(pictures)
    records = [(p.path, pids[p.person], cameras[p.path], p.split) for p in pictures]
    return scan_pictures(layout, root, root.resolve(), records)


def _cameras(pictures: list[_Picture]) -> Mapping[str, str]:
    """Path to camera: the folder's, where all have one, else the name's, where all say it."""
    if all(picture.camera for picture in pictures):
        return {picture.path: picture.camera for picture in pictures}
    found = {picture.path: CAMERA.search(Path(picture.path).stem) for picture in pictures}
    known = all(found.values())
    return {path: str(int(match[1])) if known and match else "" for path, match in found.items()}


def _left_out(pictures: int, folders: int) -> tuple[str, ...]:
    # the names themselves stay out of the record: a folder may be named after its person
    notices = ["People are numbered from 1 in the sorted order of their folders' names."]
    if pictures:
        notices.append(f"{pictures} pictures lie outside any person's folder and were left out.")
    if folders:
        notices.append(f"{folders} folders have no pictures directly in them and were left out.")
    return tuple(notices)
