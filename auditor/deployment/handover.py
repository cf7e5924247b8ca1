"""A folder to give away, and beside it one that must stay secret: both whole, or neither."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.errors import EnvironmentUnmetError

CLAIMS, GALLERY = "claims.json", "gallery.npz"
"""What is given away: what was done and what it promises; the stored gallery."""
KEY, ROWS = "key.json", "rows.csv"
"""What is kept: the seed; which row of the gallery is which picture."""


def key_folder(out: Path) -> Path:
    """Return where what must stay secret is kept: beside ``out``, not in it."""
    return out.with_name(out.name + ".key")


@contextmanager
def handover(out: Path) -> Iterator[tuple[Path, Path]]:
    """Two empty folders to fill, one to give away and one to keep.

    They become ``out`` and its `key_folder` when the block ends well, in place of what was there;
    otherwise nothing changes.

    Raises:
        EnvironmentUnmetError: if the disk refuses.
    """
    staging = _staging(out)
    try:
        public, private = staging / "public", staging / "private"
        public.mkdir()
        private.mkdir(mode=0o700)
        yield public, private
        _place({public: out, private: key_folder(out)}, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _staging(out: Path) -> Path:
    """Return a folder beside ``out`` that its owner alone can read."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise EnvironmentUnmetError(f"cannot write beside {out}: {error.strerror}") from None


def _place(folders: dict[Path, Path], staging: Path) -> None:
    """Move each folder to its place; if one cannot move, all that was there comes back."""
    moved: list[tuple[Path, Path]] = []
    try:
        for made, place in folders.items():
            if place.exists():
                old = staging / f"old-{made.name}"
                place.rename(old)
                moved.append((old, place))
            made.rename(place)
    except OSError as error:
        for made, place in folders.items():
            if place.exists() and not made.exists():
                place.rename(made)
        for old, place in moved:
            old.rename(place)
        raise EnvironmentUnmetError(f"cannot write {place}: {error.strerror}") from None
