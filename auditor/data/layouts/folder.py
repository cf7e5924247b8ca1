"""The layout of one folder per person: ``root/<person>/*.jpg``, the folder's name being any text.

The camera is read from ``_c<number>`` in the files' names if all of them have it.
"""

import re
from dataclasses import replace
from pathlib import Path

from auditor.data.rows import Rows, list_folders, list_pictures, scanned
from auditor.errors import DataError

CAMERA = re.compile(r"_c([0-9]{1,9})")


def read_folder(root: Path) -> Rows:
    """The rows of the folders in ``root``, persons numbered from 1 in the order of their names.

    Raises:
        DataError: if no folder in ``root`` holds pictures.
    """
    persons = {folder.name: list_pictures(folder) for folder in list_folders(root)}
    named = {name: files for name, files in persons.items() if files}
    if not named:
        raise DataError(
            f"{root} has no folders with pictures in them, so nothing says who is who; "
            "make one folder per person, or write a manifest.csv with path,pid,camid,split"
        )
    cameras = {file: CAMERA.search(file.stem) for files in named.values() for file in files}
    known = all(cameras.values())
    records = [
        (f"{name}/{file.name}", pid, str(int(match[1])) if known and match else "", "")
        for pid, (name, files) in enumerate(named.items(), start=1)
        for file in files
        for match in [cameras[file]]
    ]
    rows = scanned("folder", root, root.resolve(), records)
    notices = _left_out(len(list_pictures(root)), len(persons) - len(named))
    return replace(rows, notices=notices)


def _left_out(pictures: int, folders: int) -> tuple[str, ...]:
    # the names themselves stay out of the record: a folder may be named after its person
    notices = ["People are numbered from 1 in the sorted order of their folders' names."]
    if pictures:
        notices.append(f"{pictures} pictures lie outside any person's folder and were left out.")
    if folders:
        notices.append(f"{folders} folders have no pictures directly in them and were left out.")
    return tuple(notices)
