"""The known layouts, in the order in which they are looked for, and the rows of any of them."""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from auditor.config import Layout
from auditor.data.layouts.attributes import with_attributes
from auditor.data.layouts.cross_modality import find_regdb, find_sysu, read_regdb, read_sysu
from auditor.data.layouts.cuhk01 import find_cuhk01, read_cuhk01
from auditor.data.layouts.cuhk03 import find_cuhk03, read_cuhk03
from auditor.data.layouts.cuhk03np import find_cuhk03np, read_cuhk03np
from auditor.data.layouts.dukemtmc import find_dukemtmc, read_dukemtmc
from auditor.data.layouts.folder import (
    has_persons,
    has_split_folders,
    read_folder,
    read_split_folders,
)
from auditor.data.layouts.market1501 import find_market1501, read_market1501
from auditor.data.layouts.msmt17 import find_msmt17, read_msmt17
from auditor.data.layouts.pattern import read_pattern
from auditor.data.layouts.provenance import provenance
from auditor.data.layouts.table import read_table
from auditor.data.layouts.vehicles import (
    find_vehicleid,
    find_veriwild,
    read_vehicleid,
    read_veriwild,
)
from auditor.data.layouts.veri import find_veri, read_veri
from auditor.data.rows import SUFFIXES, UNREAD, Rows, list_folders, list_pictures, within
from auditor.errors import DataError, did_you_mean

MANIFEST = "manifest.csv"
SPLIT_NAME = re.compile(
    r"(?<![a-z])(train(ing)?|test(ing)?|val(id(ation)?)?|query|gallery|probe|auxiliary|images)"
    r"(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Form:
    """How a layout is recognised and read, and what it looks like.

    Attributes:
        find: whether a folder has it.
        read: its rows.
        shape: what it looks like, in words.
        marks: files and folders by which it is recognised.
        otherwise: why it does not fit where all of those are there.
    """

    find: Callable[[Path], object]
    read: Callable[[Path], Rows]
    shape: str
    marks: tuple[str, ...] = ()
    otherwise: str = "it is not laid out so"

    def misfit(self, path: Path) -> str:
        """Say why a folder does not have it; a layout may lie one folder deeper."""
        places = [path, *list_folders(path)]
        there = {mark for mark in self.marks for place in places if (place / mark).exists()}
        missing = [mark for mark in self.marks if mark not in there]
        return f"there is no {' and no '.join(missing)}" if missing else self.otherwise


def _without_pattern(path: Path) -> Rows:
    raise DataError(f"{path}: the layout pattern needs a pattern; give --pattern")


FORMS: Mapping[str, Form] = {
    # someone wrote a manifest on purpose, so it wins over folders
    "manifest": Form(
        lambda path: (path / MANIFEST).is_file(),
        lambda path: read_table(path / MANIFEST if path.is_dir() else path),
        f"a {MANIFEST} with path,pid,camid,split",
        (MANIFEST,),
    ),
    "cuhk03np": Form(
        find_cuhk03np,
        read_cuhk03np,
        "the same in labeled or detected",
        otherwise="there is no bounding_box_test in a folder labeled or detected",
    ),
    "dukemtmc": Form(
        find_dukemtmc,
        read_dukemtmc,
        "the same with 0005_c2_f0046985.jpg",
        ("bounding_box_test",),
        "not all pictures are called like 0005_c2_f0046985.jpg",
    ),
    "market1501": Form(
        find_market1501,
        read_market1501,
        "bounding_box_train, query and bounding_box_test",
        ("bounding_box_test",),
    ),
    "msmt17": Form(
        find_msmt17,
        read_msmt17,
        "list_train.txt, list_query.txt, list_gallery.txt",
        ("list_train.txt", "list_query.txt", "list_gallery.txt"),
    ),
    "veri": Form(
        find_veri,
        read_veri,
        "image_train, image_query and image_test",
        ("image_query", "image_test"),
    ),
    "cuhk01": Form(
        find_cuhk01,
        read_cuhk01,
        "campus with 0001001.png",
        ("campus",),
        "not all pictures in it are called like 0001001.png",
    ),
    "cuhk03": Form(
        find_cuhk03,
        read_cuhk03,
        "splits_new_labeled.json, as torchreid makes it",
        ("splits_new_labeled.json",),
    ),
    "veriwild": Form(
        find_veriwild,
        read_veriwild,
        "train_test_split/vehicle_info.txt",
        ("train_test_split/vehicle_info.txt",),
    ),
    "vehicleid": Form(
        find_vehicleid,
        read_vehicleid,
        "image and train_test_split/train_list.txt",
        ("image", "train_test_split/train_list.txt"),
    ),
    "sysu_mm01": Form(
        find_sysu,
        read_sysu,
        "cam1 to cam6 and exp/test_id.txt",
        ("cam1", "exp/test_id.txt"),
    ),
    "regdb": Form(find_regdb, read_regdb, "idx/test_visible_1.txt", ("idx/test_visible_1.txt",)),
    "split_folders": Form(
        lambda path: within(path, has_split_folders),
        lambda path: read_split_folders(within(path, has_split_folders) or path),
        "train, query and gallery with one folder per person in each",
        otherwise="no folder called like a split has folders with pictures in it",
    ),
    "folder": Form(
        lambda path: within(path, _persons),
        lambda path: read_folder(within(path, _persons) or path),
        "one folder of pictures per person",
        otherwise="no folder has pictures in it",
    ),
    "pattern": Form(
        lambda path: None,
        _without_pattern,
        "any names that a --pattern reads",
        otherwise="no --pattern was given",
    ),
}
NAMED = tuple(name for name in get_args(Layout) if name != "auto")
SHAPES = "; ".join(f"{FORMS[name].shape} ({name})" for name in NAMED)


def read_rows(
    path: Path,
    layout: str = "auto",
    attributes: Path | None = None,
    *,
    pattern: str | None = None,
    columns: Mapping[str, str] | None = None,
    follow_links: bool = False,
) -> Rows:
    """Return the rows of the dataset at ``path``, before anything is decided about splits.

    Args:
        path: a folder, or the CSV file of a manifest.
        layout: how it is laid out; "auto" looks.
        attributes: a published .mat file with attributes of the people; None looks for one beside
            the pictures.
        pattern: a regular expression that reads the pictures' own names; see
            `auditor.data.layouts.pattern`.
        columns: what a table calls path, pid, camid and split.
        follow_links: whether links that lead out of the folder are followed.

    Raises:
        DataError: naming what is missing or wrong, and the way out.
    """
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist; name a folder or a manifest's CSV file")
        rows = with_attributes(_read(path, layout, pattern, columns), attributes)
        unread = unread_pictures(rows)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    if rows.outside and not follow_links:
        raise DataError(rows.outside)
    return replace(rows, notices=(*provenance(rows.table["path"]), *rows.notices, *unread))


def _read(path: Path, layout: str, pattern: str | None, columns: Mapping[str, str] | None) -> Rows:
    if pattern is not None:
        if layout not in ("auto", "pattern") or not path.is_dir():
            raise DataError(f"{path}: a pattern reads the names of a folder, and no {layout}")
        return read_pattern(path, pattern)
    if layout not in get_args(Layout):
        choices = f"choose {', '.join(get_args(Layout))}"
        hint = did_you_mean(layout, get_args(Layout), "")
        raise DataError(f"layout {layout!r} is not known; {f'{hint} ' if hint else ''}{choices}")
    chosen = _detect(path) if layout == "auto" else layout
    if chosen != "manifest" and not path.is_dir():
        raise DataError(f"{path} is a file; the layout {chosen} needs a folder")
    if columns:
        if chosen != "manifest":
            raise DataError(f"{path}: columns are of a table, and this is the layout {chosen}")
        return read_table(path / MANIFEST if path.is_dir() else path, columns)
    return FORMS[chosen].read(path)


def _detect(path: Path) -> str:
    """Return the first layout that ``path`` has."""
    if path.is_file():
        if path.suffix.lower() in (".csv", ".tsv", ".txt"):
            return "manifest"
        raise DataError(f"{path} is a file, but no CSV; give {SHAPES}")
    found = next((name for name, form in FORMS.items() if form.find(path)), None)
    if found is None:
        raise DataError(_nothing_fits(path))
    return found


def _persons(path: Path) -> bool:
    """Return whether there are folders with pictures, and none is called like a split."""
    names = [folder.name for folder in list_folders(path)]
    return has_persons(path) and not any(map(SPLIT_NAME.search, names))


def unread_pictures(rows: Rows) -> tuple[str, ...]:
    """Return a notice of the pictures below the folder whose endings are not read."""
    endings: Counter[str] = Counter()
    for _, _, files in os.walk(rows.root):
        endings.update(ending for name in files if (ending := Path(name).suffix.lower()) in UNREAD)
    if not endings:
        return ()
    counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
    return (
        f"{endings.total()} pictures are of formats that are not read ({counted}), and were left "
        f"out; convert them to {' or '.join(sorted(SUFFIXES)[-2:])} to have them audited.",
    )


def _nothing_fits(path: Path) -> str:
    """Return what was found instead of a layout, and which layouts there are."""
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
            f"and nothing says who is on them; {_misfits(path)}"
        )
    names = sorted(child.name for child in path.iterdir())
    found = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{path}: none of the known layouts (found: {found or 'nothing'}); {_misfits(path)}"


def _misfits(path: Path) -> str:
    """For every layout what it looks like and why this is none, a line each."""
    reasons = [f"{name} ({FORMS[name].shape}): {FORMS[name].misfit(path)}" for name in NAMED]
    return "\n".join(["each layout that is read, and why this is none of it:", *reasons])
