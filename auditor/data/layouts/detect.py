"""The known layouts, in the order in which they are looked for, and the rows of any of them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from auditor.config import Layout
from auditor.data.layouts.attributes import with_attributes
from auditor.data.layouts.cuhk01 import find_cuhk01, read_cuhk01
from auditor.data.layouts.cuhk03np import find_cuhk03np, read_cuhk03np
from auditor.data.layouts.dukemtmc import find_dukemtmc, read_dukemtmc
from auditor.data.layouts.folder import read_folder
from auditor.data.layouts.manifest import read_manifest
from auditor.data.layouts.market1501 import find_market1501, read_market1501
from auditor.data.layouts.msmt17 import find_msmt17, read_msmt17
from auditor.data.layouts.provenance import provenance
from auditor.data.layouts.veri import find_veri, read_veri
from auditor.data.rows import Rows, list_folders, list_pictures
from auditor.errors import DataError, did_you_mean

MANIFEST = "manifest.csv"
SPLIT_NAME = re.compile(
    r"(?<![a-z])(train(ing)?|test(ing)?|val(id(ation)?)?|query|gallery|probe|auxiliary|images)"
    r"(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Form:
    """How a layout is recognised and read, and what it looks like, in words."""

    find: Callable[[Path], object]
    read: Callable[[Path], Rows]
    shape: str


FORMS: Mapping[str, Form] = {
    # someone wrote a manifest on purpose, so it wins over folders
    "manifest": Form(
        lambda path: (path / MANIFEST).is_file(),
        lambda path: read_manifest(path / MANIFEST if path.is_dir() else path),
        f"a {MANIFEST} with path,pid,camid,split",
    ),
    "cuhk03np": Form(find_cuhk03np, read_cuhk03np, "the same in labeled or detected"),
    "dukemtmc": Form(find_dukemtmc, read_dukemtmc, "the same with 0005_c2_f0046985.jpg"),
    "market1501": Form(
        find_market1501, read_market1501, "bounding_box_train, query and bounding_box_test"
    ),
    "msmt17": Form(find_msmt17, read_msmt17, "list_train.txt, list_query.txt, list_gallery.txt"),
    "veri": Form(find_veri, read_veri, "image_train, image_query and image_test"),
    "cuhk01": Form(find_cuhk01, read_cuhk01, "campus with 0001001.png"),
    "folder": Form(lambda path: _persons(path), read_folder, "one folder of pictures per person"),
}
NAMED = tuple(name for name in get_args(Layout) if name != "auto")
SHAPES = "; ".join(f"{FORMS[name].shape} ({name})" for name in NAMED)


def read_rows(path: Path, layout: str = "auto", attributes: Path | None = None) -> Rows:
    """The rows of the dataset at ``path``, before anything is decided about splits.

    Args:
        path: a folder, or the CSV file of a manifest.
        layout: how it is laid out; "auto" looks.
        attributes: a published .mat file with attributes of the people; None looks for one beside
            the pictures.

    Raises:
        DataError: naming what is missing or wrong, and the way out.
    """
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist; name a folder or a manifest's CSV file")
        rows = with_attributes(_read(path, layout), attributes)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    return replace(rows, notices=(*provenance(rows.table["path"]), *rows.notices))


def _read(path: Path, layout: str) -> Rows:
    if layout not in get_args(Layout):
        choices = f"choose {', '.join(get_args(Layout))}"
        hint = did_you_mean(layout, get_args(Layout), "")
        raise DataError(f"layout {layout!r} is not known; {f'{hint} ' if hint else ''}{choices}")
    chosen = _detect(path) if layout == "auto" else layout
    if chosen != "manifest" and not path.is_dir():
        raise DataError(f"{path} is a file; the layout {chosen} needs a folder")
    return FORMS[chosen].read(path)


def _detect(path: Path) -> str:
    """The first layout that ``path`` has."""
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return "manifest"
        raise DataError(f"{path} is a file, but no CSV; give {SHAPES}")
    found = next((name for name, form in FORMS.items() if form.find(path)), None)
    if found is None:
        raise DataError(_nothing_fits(path))
    return found


def _persons(path: Path) -> bool:
    """Whether there are folders with pictures, and none is called like a split."""
    folders = [folder.name for folder in list_folders(path) if list_pictures(folder)]
    return bool(folders) and not any(map(SPLIT_NAME.search, folders))


def _nothing_fits(path: Path) -> str:
    """What was found instead of a layout, and which layouts there are."""
    folders = [folder.name for folder in list_folders(path) if list_pictures(folder)]
    splits = [name for name in folders if SPLIT_NAME.search(name)]
    if splits:
        return (
            f"{path}: the folder {splits[0]!r} is called like a split, not like a person; write a "
            f"{MANIFEST}, or say layout: folder if it is a person after all"
        )
    pictures = list_pictures(path)
    if pictures:
        return (
            f"{path}: {len(pictures)} pictures directly in the folder (first: {pictures[0].name}), "
            f"and nothing says who is on them; it takes {SHAPES}"
        )
    names = sorted(child.name for child in path.iterdir())
    found = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{path}: none of the known layouts (found: {found or 'nothing'}); it takes {SHAPES}"
