"""What files contain that plug-ins name: what a result depends on beside the settings."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from auditor.plugins.declaring import path_options
from auditor.plugins.registry import parameters


def named_files(plugin: object) -> dict[str, str]:
    """Return the option -> SHA-256 of what it names, for each option that names a file or folder.

    Of a folder, which may contain a whole data set, the names, sizes and times of its files count.
    What cannot be read is left for the plug-in to complain about.
    """
    found = {}
    for option, value in parameters(plugin).items():
        if isinstance(value, str) and value and (digest := _digest(Path(value))):
            found[option] = digest
    return found


def recorded(plugin: object) -> dict[str, Any]:
    """Return hyper-parameters for a record, which travels: files by name and content, no folder."""
    plain = parameters(plugin)
    for option, words in path_options(type(plugin)).items():
        path = plain[option]
        if isinstance(path, str) and path and path not in words:
            digest = _digest(Path(path))
            plain[option] = Path(path).name + (f" (sha256 {digest[:12]})" if digest else "")
    return plain


def _digest(path: Path) -> str:
    try:
        if not path.is_dir():
            return _content(path.absolute(), *_state(path)) if path.is_file() else ""
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        listed = [(file.relative_to(path).as_posix(), *_state(file)) for file in inside]
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def _state(file: Path) -> tuple[int, int]:
    """Return a file's size and when it was changed, in nanoseconds."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _content(file: Path, size: int, changed: int) -> str:
    """Hash a file, once as long as it has this size and time."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
