"""Readers of re-ID datasets, and the drawn people of the demo.

Every layout is turned into rows of a manifest (`auditor.data.rows`), and `auditor.data.assembly`
makes the dataset from rows.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from auditor.data.assembly import assemble
from auditor.data.duplicates import OnCopies
from auditor.data.folder import read_folder
from auditor.data.manifest import read_manifest
from auditor.data.market1501 import find_market1501, read_market1501
from auditor.data.rows import Rows, list_folders, list_pictures
from auditor.errors import DataError
from auditor.types import ReIDDataset

Layout = Literal["auto", "manifest", "market1501", "folder"]

MANIFEST = "manifest.csv"
LAYOUTS = (
    f"a {MANIFEST} with path,pid,camid,split (manifest); bounding_box_train, query and "
    "bounding_box_test (market1501); one folder of pictures per person (folder)"
)
SPLIT_NAME = re.compile(
    r"(?<![a-z])(train(ing)?|test(ing)?|val(id(ation)?)?|query|gallery|probe|auxiliary|images)"
    r"(?![a-z])",
    re.IGNORECASE,
)


def open_dataset(
    path: Path,
    *,
    layout: Layout = "auto",
    cross_camera: bool = True,
    max_broken: float = 0.01,
    name: str = "",
    near_duplicates: OnCopies = "warn",
) -> ReIDDataset:
    """The dataset at ``path``; pictures are checked now and decoded again when asked for.

    Args:
        path: a folder, or the CSV file of a manifest.
        layout: how it is laid out; "auto" looks.
        cross_camera: whether same-camera matches of a query are ignored; switched off, with a
            notice, where no camera is known.
        max_broken: the largest share of missing or broken pictures that may be dropped.
        name: for the report; the folder's name if empty.
        near_duplicates: what to do about auxiliary or train pictures that are copies of attacked
            ones: refuse the dataset, say so, or leave those copies out.

    Raises:
        DataError: naming what is missing or wrong, and the way out.
    """
    if near_duplicates not in get_args(OnCopies):
        raise DataError(
            f"near_duplicates {near_duplicates!r} is not known; choose "
            f"{', '.join(get_args(OnCopies))}"
        )
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist; name a folder or a manifest's CSV file")
        rows = _read(path, layout)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    return assemble(
        rows,
        cross_camera=cross_camera,
        max_broken=max_broken,
        name=name,
        near_duplicates=near_duplicates,
    )


def _read(path: Path, layout: Layout) -> Rows:
    readers: dict[str, Callable[[Path], Rows]] = {
        "manifest": lambda path: read_manifest(path / MANIFEST if path.is_dir() else path),
        "market1501": read_market1501,
        "folder": read_folder,
    }
    chosen = _detect(path) if layout == "auto" else layout
    if chosen not in readers:
        raise DataError(f"layout {layout!r} is not known; choose {', '.join(get_args(Layout))}")
    if chosen != "manifest" and not path.is_dir():
        raise DataError(f"{path} is a file; the layout {chosen} needs a folder")
    return readers[chosen](path)


def _detect(path: Path) -> str:
    """The layout of ``path``; a manifest wins over folders, since someone wrote it on purpose."""
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return "manifest"
        raise DataError(f"{path} is a file, but no CSV; give {LAYOUTS}")
    if (path / MANIFEST).is_file():
        return "manifest"
    if find_market1501(path):
        return "market1501"
    folders = [folder for folder in list_folders(path) if list_pictures(folder)]
    splits = [folder.name for folder in folders if SPLIT_NAME.search(folder.name)]
    if folders and not splits:
        return "folder"
    raise DataError(_nothing_fits(path, splits))


def _nothing_fits(path: Path, splits: list[str]) -> str:
    """What was found instead of a layout, and which layouts there are."""
    if splits:
        return (
            f"{path}: the folder {splits[0]!r} is called like a split, not like a person; write a "
            f"{MANIFEST}, or say layout: folder if it is a person after all"
        )
    pictures = list_pictures(path)
    if pictures:
        return (
            f"{path}: {len(pictures)} pictures directly in the folder (first: {pictures[0].name}), "
            f"and nothing says who is on them; it takes {LAYOUTS}"
        )
    names = sorted(child.name for child in path.iterdir())
    found = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{path}: none of the known layouts (found: {found or 'nothing'}); it takes {LAYOUTS}"
