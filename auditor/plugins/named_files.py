"""Hashes of the files that options of plug-ins name: results depend on them, too."""

import hashlib
import os
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from auditor.plugins.declaring import Role, path_options, values_of, words_of
from auditor.plugins.registry import parameters


def named_files(plugin: object) -> dict[str, str]:
    """Return the option -> SHA-256 of what it names, for each option that names a file or folder.

    Of a folder, which may contain a whole data set, the names, sizes and times of its files count.
    What cannot be read is left for the plug-in to complain about. A word or a judge's label that
    the plug-in declares names no file, whatever the working directory contains.
    """
    words, labels = words_of(type(plugin)), values_of(plugin, Role.JUDGES)
    named = {
        option: [Path(text) for text in _texts(value) if text not in words.get(option, ())]
        for option, value in parameters(plugin).items()
        if option not in labels
    }
    hashes = {
        option: " ".join(filter(None, (_hash_file(path) or _hash_listing(path) for path in paths)))
        for option, paths in named.items()
    }
    return {option: digest for option, digest in hashes.items() if digest}


def recorded(plugin: object) -> dict[str, Any]:
    """Return hyper-parameters for a record, which travels: of a path, its last part.

    A file is told by the hash of its content, too. A folder is not: its hash takes the times of
    files, which are others wherever it is copied.
    """
    plain = parameters(plugin)
    for option, words in path_options(type(plugin)).items():
        plain[option] = _recorded(plain[option], words)
    return plain


def _texts(value: Any) -> list[str]:
    """Return the texts of a value that may be one or several."""
    several = value if isinstance(value, list) else [value]
    return [text for text in several if isinstance(text, str) and text]


def _recorded(value: Any, words: Collection[str]) -> Any:
    """Return the last part of a path, or of several, each with the hash of a file."""
    if isinstance(value, list):
        return [_recorded(one, words) for one in value]
    if not isinstance(value, str) or not value or value in words:
        return value
    digest = _hash_file(Path(value))
    return Path(value).name + (f" (sha256 {digest[:12]})" if digest else "")


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
