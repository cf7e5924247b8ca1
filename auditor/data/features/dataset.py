"""From files of features to a dataset: the same splits by the same rules as for pictures."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

from auditor.artifacts.regular_file import is_regular
from auditor.config import FeaturesConfig
from auditor.data.dataset import (
    copied_queries,
    count_rows,
    encode_attributes,
    make_splits,
    notices,
)
from auditor.data.features.files import BLOCK, FeatureTable, read_features
from auditor.data.features.rows import FeatureRows, StoredFeatures, gather_rows
from auditor.data.images import FileImages, JoinedImages
from auditor.data.rows import JUNK, SPLITS, encode, locate, number_people
from auditor.data.splits import Division, divide
from auditor.data.tracks import read_tracks
from auditor.errors import DataError
from auditor.types import Images, ReIDDataset, Selection

LABELS = ("pid", "camid", "path", "split")
UNKNOWN = ("", "-1")
"""How files say that a camera or an attribute is not known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Store:
    """Features that came alone.

    Attributes:
        extractor: which stands for the model.
        data: the people, with stored rows in the place of pictures.
        distance: how the owner compares two features.
        device: where attacks on them compute.
        facts: about the files, for the record.
    """

    extractor: StoredFeatures
    data: ReIDDataset
    distance: Literal["cosine", "euclidean"]
    device: torch.device
    facts: Mapping[str, Any]


def open_features(config: FeaturesConfig, device: torch.device = torch.device("cpu")) -> Store:
    """Return the people in files of features.

    Who is not in a split by name is divided as everywhere, see `auditor.data.splits`: without
    auxiliary rows every second person is the adversary's, and without queries the first row of each
    person and camera is one.

    Raises:
        DataError: naming what is missing or wrong, and the way out.
    """
    named = {"gallery": config.gallery, "query": config.query, "auxiliary": config.auxiliary}
    files = {role: path for role, path in named.items() if path is not None}
    tables = {role: read_features(path, config.columns) for role, path in files.items()}
    _check_dimensions(tables)
    digests = {role: _digest_file(path) for role, path in files.items()}
    gallery = tables["gallery"]
    return Store(
        extractor=StoredFeatures(gallery.features.shape[1]),
        data=_make_dataset(config, tables, digests),
        distance=config.distance,
        device=device,
        facts={
            "file": gallery.path.name,
            "format": f"features alone ({gallery.form})",
            "tier": "A",
            "trust": "data",
            "sha256": digests["gallery"],
            "bytes": gallery.path.stat().st_size,
            "feature_dim": gallery.features.shape[1],
            "differentiable": False,
            "card": {"distance": config.distance},
            "isolation": {"level": "not needed", "by": []},
        },
    )


def _make_dataset(
    config: FeaturesConfig, tables: Mapping[str, FeatureTable], digests: Mapping[str, str]
) -> ReIDDataset:
    """Divide the people in ``tables`` into splits."""
    cells = pd.concat(
        [_read_labels(role, table) for role, table in tables.items()], ignore_index=True
    )
    sources = [_make_rows(table, config) for table in tables.values()]
    numbering = _number(cells, config.gallery)
    table, rows = cells[cells["pid"] != JUNK].copy(), _join(sources)
    table["camid"], cameras = encode(table["camid"].tolist())
    told = table.drop(columns=list(LABELS), errors="ignore").map(_known)
    codes, values, ignored = encode_attributes(told)
    tracks = read_tracks(told)
    try:
        division = divide(table, config.cross_camera)
    except DataError as error:
        raise DataError(f"{config.gallery}: {error}") from None
    copied = copied_queries(division, _digest_rows(division, rows))
    splits = make_splits(division, codes, tracks, lambda kept: Selection(rows, kept))
    return ReIDDataset(
        name=config.name or config.gallery.stem,
        train=splits["train"],
        query=splits["query"],
        gallery=splits["gallery"],
        auxiliary=splits["auxiliary"],
        attribute_values=values,
        cross_camera=division.cross_camera,
        facts={
            "layout": "features",
            **count_rows(division.parts),
            "cameras": list(cameras),
            "junk": int((cells["pid"] == JUNK).sum()),
            "copied_queries": copied,
            "attributes": list(values),
            "ignored_columns": list(ignored),
            "pictures": [r for r, s in zip(tables, sources, strict=True) if s.pictures is not None],
            "notices": [*numbering, *notices(division, copied, ignored), *tracks.notices],
            "features_sha256": dict(digests),
        },
    )


def _check_dimensions(tables: Mapping[str, FeatureTable]) -> None:
    dim = tables["gallery"].features.shape[1]
    for table in tables.values():
        if table.features.shape[1] != dim:
            raise DataError(
                f"{table.path}: its features have {table.features.shape[1]} numbers, and those of "
                f"{tables['gallery'].path} have {dim}; give features of one model"
            )


def _read_labels(role: str, table: FeatureTable) -> pd.DataFrame:
    """Return labels and attributes of a file's rows as text; the gallery's may say their splits."""
    cells = pd.DataFrame(dict(table.texts), index=range(len(table.features)))
    for name in LABELS:
        if name not in cells:
            cells[name] = ""
    cells["camid"] = cells["camid"].map(_known)
    if role != "gallery" or "split" not in table.texts:
        cells["split"] = role
    strange = sorted(set(cells["split"]) - {"", *SPLITS})
    if strange:
        raise DataError(f"{table.path}: no split is called {strange[0]!r}; use {', '.join(SPLITS)}")
    if unnamed := int((cells["pid"] == "").sum()):
        raise DataError(
            f"{table.path}: {unnamed} of {len(cells)} rows have no pid; say whose they are, or "
            "leave them out"
        )
    return cells


def _known(text: Any) -> str:
    """Return a cell of a column that another file may not have."""
    return "" if text in UNKNOWN or not isinstance(text, str) else text


def _number(cells: pd.DataFrame, source: Path) -> tuple[str, ...]:
    """Put numbers in the place of people's names, the same in all files."""
    try:
        cells["pid"], notices = number_people(cells["pid"].tolist())
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    return notices


def _make_rows(table: FeatureTable, config: FeaturesConfig) -> FeatureRows:
    return FeatureRows(table.features, _find_pictures(table, config), table.mapped)


def _find_pictures(table: FeatureTable, config: FeaturesConfig) -> Images | None:
    """Return the pictures of a file's rows, where it names them."""
    paths = table.texts.get("path", ())
    if not any(paths):
        return None
    root = (config.pictures or table.path.parent).resolve()
    if not all(paths):
        raise DataError(
            f"{table.path}: {sum(not path for path in paths)} of {len(paths)} rows name no "
            "picture; name one in each row, or leave the column path out"
        )
    found, outside = locate(root, paths, lambda row: f"{table.path}, row {row + 1}")
    if outside:
        raise DataError(outside.split("; ")[0] + "; name the folder with features.pictures")
    absent = next((file for file in found if not is_regular(file)), None)
    if absent is not None:
        raise DataError(
            f"{table.path}: there is no picture {absent}; name the folder that paths start at with "
            "features.pictures"
        )
    return FileImages(found)


def _join(sources: Sequence[Images]) -> Images:
    first, *others = sources
    for other in others:
        first = JoinedImages(first, other)
    return first


def _digest_rows(division: Division, rows: Images) -> dict[int, bytes]:
    """Return row -> digest of its features, of the rows that are searched for and among."""
    places = [*division.parts["query"].index, *division.parts["gallery"].index]
    digests: dict[int, bytes] = {}
    for part in torch.tensor(places).split(BLOCK):
        features = gather_rows(rows, part).numpy()
        for place, row in zip(part.tolist(), features, strict=True):
            digests[place] = hashlib.sha256(row.tobytes()).digest()
    return digests


def _digest_file(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
