"""From rows to a dataset: junk and broken pictures go, texts become codes, facts are kept."""

import hashlib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from auditor.data.decoding import decode
from auditor.data.duplicates import OnCopies, Print, fingerprint, without_copies
from auditor.data.images import FileImages
from auditor.data.rows import DISTRACTOR, JUNK, KEPT, Rows, digest, encode, why_ignored
from auditor.data.splits import Division, MissingSplitError, divide
from auditor.data.tracks import Tracks, read_tracks
from auditor.errors import DataError
from auditor.types import MISSING, Images, ReIDDataset, Split

LISTED = 20
"""Broken pictures named in the report; all are counted."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What decoding every picture once has shown.

    Attributes:
        readable: rows of the whole pictures, without junk, sorted by path.
        broken: path -> why it cannot be decoded, in the same order.
        prints: row -> fingerprint, None for a picture that is broken or shows nothing.
        digests: row -> SHA-256 of the file.
        sha256: of what the files of all pictures contain, in the order of their paths.
    """

    readable: pd.DataFrame
    broken: Mapping[str, str]
    prints: Mapping[int, Print | None]
    digests: Mapping[int, bytes]
    sha256: str

    @property
    def share(self) -> float:
        """The share of pictures that are broken."""
        return len(self.broken) / max(len(self.prints), 1)


def make_dataset(
    rows: Rows,
    *,
    cross_camera: bool,
    max_broken: float,
    name: str,
    near_duplicates: OnCopies = "warn",
) -> ReIDDataset:
    """Return the dataset that ``rows`` describe; the order of the rows makes no difference.

    Raises:
        DataError: if too many pictures are broken, the splits leave nothing to audit, or the
            adversary holds copies of attacked pictures and ``near_duplicates`` is "error".
    """
    looks = _look_at_all(rows, max_broken)
    camids, cameras = encode(looks.readable["camid"].tolist())
    codes, values, ignored = encode_attributes(rows.attributes.loc[looks.readable.index])
    tracks = read_tracks(rows.attributes)
    division = settle(rows, looks.readable.assign(camid=camids), cross_camera)
    division, copies = _compare(rows, division, looks, near_duplicates)
    copied = copied_queries(division, looks.digests)
    splits = make_splits(
        division, codes, tracks, lambda kept: FileImages([rows.files[row] for row in kept])
    )
    return ReIDDataset(
        name=name or rows.root.name,
        train=splits["train"],
        query=splits["query"],
        gallery=splits["gallery"],
        auxiliary=splits["auxiliary"],
        attribute_values=values,
        cross_camera=division.cross_camera,
        facts={
            "layout": rows.layout,
            "root_name": rows.root.name,
            **count_rows(division.parts),
            "cameras": list(cameras),
            **_faults(rows, looks),
            "near_duplicates": copies,
            "copied_queries": copied,
            "attributes": list(values),
            "ignored_columns": list(ignored),
            **_sources(rows, looks, [*notices(division, copied, ignored), *tracks.notices]),
        },
    )


def _look_at_all(rows: Rows, max_broken: float) -> Looks:
    """See `look_through`; too few whole pictures are an error."""
    if rows.table.empty:
        raise DataError(f"{rows.source} contains no pictures; name the folder that does")
    looks = look_through(rows)
    if fault := too_many_broken(rows, looks, max_broken):
        raise DataError(fault)
    return looks


def _compare(
    rows: Rows, division: Division, looks: Looks, on_copies: OnCopies
) -> tuple[Division, dict[str, Any]]:
    """See `without_copies`; an error says of which dataset it is."""
    try:
        return without_copies(rows, division, looks.prints, on_copies)
    except DataError as error:
        raise DataError(f"{rows.source}: {error}") from None


def _sources(rows: Rows, looks: Looks, noticed: Sequence[str]) -> dict[str, Any]:
    """Return what was read, for the record, and notices for its readers."""
    return {
        "kept_columns": [str(name) for name in rows.attributes if str(name).lower() in KEPT],
        "notices": [*rows.notices, *noticed],
        "manifest_sha256": digest(rows.table),
        "pictures_sha256": looks.sha256,
        **rows.facts,
    }


def _faults(rows: Rows, looks: Looks) -> dict[str, Any]:
    """Rows and pictures that are left out, for the record."""
    broken = list(looks.broken)
    return {
        "junk": int((rows.table["pid"] == JUNK).sum()),
        "broken": {"count": len(broken), "share": looks.share, "files": broken[:LISTED]},
    }


def notices(division: Division, copied: int, ignored: Mapping[str, str]) -> list[str]:
    """Return notices for the record's readers about how the people were divided."""
    return [*division.notices, *odd_searches(division, copied), *ignored.values()]


def look_through(rows: Rows) -> Looks:
    """Decode every picture once; junk is left out."""
    table = rows.table[rows.table["pid"] != JUNK].sort_values("path")
    # Threads are enough: decoding runs outside Python's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        looks = list(pool.map(_look, [rows.files[row] for row in table.index]))
    faulty = np.array([bool(look.fault) for look in looks], dtype=bool)
    return Looks(
        readable=table[~faulty],
        broken={p: look.fault for p, look in zip(table["path"], looks, strict=True) if look.fault},
        prints={
            row: look.fingerprint for row, look in zip(table.index.tolist(), looks, strict=True)
        },
        digests={row: look.sha256 for row, look in zip(table.index.tolist(), looks, strict=True)},
        sha256=hashlib.sha256(b"".join(look.sha256 for look in looks)).hexdigest(),
    )


def copied_queries(division: Division, digests: Mapping[int, bytes]) -> int:
    """Return how many queries are, byte for byte, a gallery picture that counts as their match.

    A network that knows nobody finds those. Copies from the query's own camera are ignored where
    the protocol ignores them, as in VeRi-776.
    """
    query, gallery = division.parts["query"], division.parts["gallery"]
    found = 0
    stored: dict[bytes, list[tuple[int, int]]] = {}
    for row, pid, camid in zip(gallery.index, gallery["pid"], gallery["camid"], strict=True):
        stored.setdefault(digests[row], []).append((pid, camid))
    for row, pid, camid in zip(query.index, query["pid"], query["camid"], strict=True):
        found += any(
            pid == other and not (division.cross_camera and camid == camera != MISSING)
            for other, camera in stored.get(digests[row], ())
        )
    return found


def odd_searches(division: Division, copied: int) -> list[str]:
    """Notices of queries that are easier to find, or cameras that are other, than they look."""
    query, gallery = division.parts["query"], division.parts["gallery"]
    notices = []
    if copied:
        notices.append(
            f"{copied} of {len(query)} queries are copies, byte for byte, of gallery pictures that "
            "count as their matches, so utility is overestimated; take them out of one of the two."
        )
    seen, stored = (set(part["camid"]) - {MISSING} for part in (query, gallery))
    if seen and stored and not seen & stored:
        notices.append(
            "No camera of a query is one of the gallery's, as if cameras were made up from the "
            "split; then the cross-camera rule ignores nothing."
        )
    pictures = pd.concat([query["camid"], gallery["camid"]])
    cameras = pictures[pictures != MISSING].nunique()
    if cameras > max(10, len(pictures) // 2):
        notices.append(
            f"There are {cameras} cameras for {len(pictures)} pictures, as if a picture's number "
            "were its camera's; then the cross-camera rule ignores nothing."
        )
    return notices


def too_many_broken(rows: Rows, looks: Looks, max_broken: float) -> str:
    """Say why there are too many broken pictures; "" if there are not."""
    if looks.share <= max_broken:  # so that a limit of NaN allows nothing
        return ""
    path, reason = next(iter(looks.broken.items()))
    return (
        f"{rows.source}: {len(looks.broken)} of {len(looks.prints)} pictures are missing or "
        f"broken, more than the share of {max_broken:g} that data.max_broken allows; the first is "
        f"{path!r}: {reason}; restore them or raise data.max_broken"
    )


def settle(rows: Rows, table: pd.DataFrame, cross_camera: bool) -> Division:
    """Return the splits of ``table``, readable rows with the camera as code.

    Raises:
        DataError: naming the split that leaves nothing to audit, and the ways out.
    """
    try:
        return divide(table, cross_camera)
    except MissingSplitError as error:
        name = "split.csv" if rows.layout == "manifest" else "manifest.csv"
        command = f"audit data split {shlex.quote(str(rows.source))} --out {name}"
        raise DataError(f"{rows.source}: {error}; or make all splits: {command}") from None
    except DataError as error:
        raise DataError(f"{rows.source}: {error}") from None


@dataclass(frozen=True)
class _Look:
    """What one picture has shown: why it is broken, its fingerprint, the digest of its file."""

    fault: str
    fingerprint: Print | None = None
    sha256: bytes = bytes(hashlib.sha256().digest_size)


def _look(file: Path) -> _Look:
    try:
        if not file.is_file():
            return _Look("there is no such file")
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").digest()
        return _Look("", fingerprint(decode(file)), content)
    except (DataError, OSError) as error:
        return _Look(str(error))


def encode_attributes(
    texts: pd.DataFrame,
) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]], dict[str, str]]:
    """Codes like ``texts``, the values of each attribute, and a notice per ignored column."""
    codes: dict[str, NDArray[np.int64]] = {}
    values: dict[str, tuple[str, ...]] = {}
    ignored: dict[str, str] = {}
    for name in texts:
        if str(name).lower() in KEPT:
            continue
        column = texts[name].tolist()
        reason = why_ignored(str(name), set(column) - {""})
        if reason:
            ignored[str(name)] = f"The column {name!r} is not taken for an attribute: {reason}."
        else:
            codes[str(name)], values[str(name)] = encode(column)
    return pd.DataFrame(codes, index=texts.index), values, ignored


def make_splits(
    division: Division,
    codes: pd.DataFrame,
    tracks: Tracks,
    pictures: Callable[[list[int]], Images],
) -> dict[str, Split]:
    """Make a `Split` of each part; train and auxiliary are one object if their rows are the same.

    Args:
        division: whose parts become splits.
        codes: attributes of its rows.
        tracks: their times and tracklets.
        pictures: of some rows.
    """
    splits: dict[int, Split] = {}
    for part in division.parts.values():
        own = codes.loc[part.index]
        splits[id(part)] = Split(
            pictures(part.index.tolist()),
            torch.tensor(part["pid"].to_numpy()),
            torch.tensor(part["camid"].to_numpy()),
            {str(name): torch.tensor(own[name].to_numpy()) for name in own},
            **tracks.of(part.index),
        )
    return {name: splits[id(part)] for name, part in division.parts.items()}


def count_rows(parts: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return how many pictures and people each split has, for the record."""
    people = {name: part.loc[part["pid"] != DISTRACTOR, "pid"] for name, part in parts.items()}
    return {
        "images": {name: len(part) for name, part in parts.items()},
        "identities": {name: int(pids.nunique()) for name, pids in people.items()},
        "distractors": int((parts["gallery"]["pid"] == DISTRACTOR).sum()),
    }
