"""Readers of re-ID datasets, and the synthetic people of the demo.

Every layout is turned into rows of a manifest (`auditor.data.rows`), and `auditor.data.dataset`
makes the dataset from rows.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from auditor.config import Layout
from auditor.data.dataset import make_dataset
from auditor.data.duplicates import OnCopies
from auditor.data.layouts import read_rows
from auditor.data.layouts.provenance import provenance
from auditor.errors import DataError
from auditor.types import ReIDDataset

log = logging.getLogger(__name__)


def open_dataset(
    path: Path,
    *,
    layout: Layout = "auto",
    pattern: str | None = None,
    columns: Mapping[str, str] | None = None,
    follow_links: bool = False,
    attributes: Path | None = None,
    cross_camera: bool = True,
    max_broken: float = 0.01,
    name: str = "",
    near_duplicates: OnCopies = "warn",
) -> ReIDDataset:
    """Return the dataset at ``path``; pictures are checked now and decoded again when asked for.

    Args:
        path: a folder, or the CSV file of a manifest.
        layout: how it is laid out; "auto" looks.
        pattern: a regular expression that reads the pictures' own names.
        columns: what a table calls path, pid, camid and split.
        follow_links: whether links that lead out of the folder are followed.
        attributes: a published .mat file with attributes of the people; None looks for one beside
            the pictures.
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
    rows = read_rows(
        path, layout, attributes, pattern=pattern, columns=columns, follow_links=follow_links
    )
    for notice in provenance(rows.table["path"]):
        log.warning("%s: %s", path, notice)
    return make_dataset(
        rows,
        cross_camera=cross_camera,
        max_broken=max_broken,
        name=name,
        near_duplicates=near_duplicates,
    )
