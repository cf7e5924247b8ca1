"""Hashes of the files that options of plug-ins name: results depend on them, too."""

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from auditor.plugins.declaring import path_options, words_of
from auditor.plugins.registry import parameters


def named_files(plugin: object) -> dict[str, str]:
    """Return the option -> SHA-256 of what it names, for each option that names a file or folder.

    Of a folder, which may contain a whole data set, the names, sizes and times of its files count.
    What cannot be read is left for the plug-in to complain about. A word that the plug-in declares
    names nothing, whatever the working directory contains.
    """
    words = words_of(type(plugin))
    named = {
        option: Path(value)
        for option, value in parameters(plugin).items()
        if isinstance(value, str) and value and value not in words.get(option, ())
    }
    hashes = {option: _hash_file(path) or _hash_listing(path) for option, path in named.items()}
    return {option: digest for option, digest in hashes.items() if digest}


def recorded(plugin: object) -> dict[str, Any]:
    """Return hyper-parameters for a record, which travels: of a path, its last part.

    A file is told by the hash of its content, too. A folder is not: its hash takes the times of
    files, which are others wherever it is copied.
    """
    plain = parameters(plugin)
    for option, words in path_options(type(plugin)).items():
        path = plain[option]
        if isinstance(path, str) and path and path not in words:
            digest = _hash_file(Path(path))
            plain[option] = Path(path).name + (f" (sha256 {digest[:12]})" if digest else "")
    return plain


def _hash_file(path: Path) -> str:
    try:
        return _content(path.absolute(), *_state(path)) if path.is_file() else ""
    except (OSError, ValueError):
        return ""


def _hash_listing(folder: Path) -> str:
    try:
        if not folder.is_dir():
            return ""
        inside = sorted(_files_below(folder))
        listed = [(file.relative_to(folder).as_posix(), *_state(file)) for file in inside]
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder; links to other folders are followed, but not in circles."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from filter(Path.is_file, (Path(place, name) for name in names))


def _state(file: Path) -> tuple[int, int]:
    """Return a file's size and when it was changed, in nanoseconds."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _content(file: Path, size: int, changed: int) -> str:
    """Hash a file, once as long as it has this size and time."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
