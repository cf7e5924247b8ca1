"""Decoded pictures at the sizes they were asked for, kept within bounds of memory.

Attacks ask for the same pictures at the same few sizes, again and again.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from torch import Tensor
from torch.utils.data import get_worker_info

from auditor.data.decoding import batch_pictures, read_pictures
from auditor.resizing import resizing_to

SHARE_OF_MEMORY = 1 / 16
MOST = 2**30
"""Bytes of pictures kept at most, however large the machine."""

Key = tuple[object, ...]


class KeptPictures:
    """Pictures of files as uint8; what was not asked for the longest gives way.

    Attributes:
        limit: bytes of pixels that are kept at most.
        size: bytes that are kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._pictures: OrderedDict[Key | None, Tensor] = OrderedDict()
        self._lock = Lock()

    def load(self, paths: Sequence[Path], size: tuple[int, int]) -> Tensor:
        """Return RGB uint8 ``(N, 3, height, width)``; a file that has changed is decoded anew.

        Raises:
            DataError: if a file cannot be decoded.
        """
        wanted = (tuple(size), resizing_to(size))
        keys = [_key(path, wanted) for path in paths]
        with self._lock:
            found = {key: self._pictures[key] for key in keys if key in self._pictures}
            for key in found:
                self._pictures.move_to_end(key)
        missing = [row for row, key in enumerate(keys) if key not in found]
        read = dict(zip(missing, read_pictures([paths[row] for row in missing], size), strict=True))
        with self._lock:
            for row, picture in read.items():
                self._keep(keys[row], picture)
        pictures = [read[row] if row in read else found[key] for row, key in enumerate(keys)]
        return batch_pictures(pictures, size)

    def _keep(self, key: Key | None, picture: Tensor) -> None:
        if key is None or key in self._pictures or picture.nbytes > self.limit:
            return
        self._pictures[key] = picture
        self.size += picture.nbytes
        while self.size > self.limit:
            _, oldest = self._pictures.popitem(last=False)
            self.size -= oldest.nbytes


_PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
KEPT = KeptPictures(min(MOST, int(SHARE_OF_MEMORY * _PHYSICAL)))
"""Of this process."""


def load_pictures(paths: Sequence[Path], size: tuple[int, int]) -> Tensor:
    """Return RGB uint8 ``(N, 3, height, width)`` from memory or from the files.

    Raises:
        DataError: if a file cannot be decoded.
    """
    if get_worker_info() is not None:  # one of several, each with a memory of its own
        return batch_pictures(read_pictures(paths, size), size)
    return KEPT.load(paths, size)


def _key(path: Path, wanted: Key) -> Key | None:
    """Return the name of a picture as ``wanted``; None for a file that cannot be looked at."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    return str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns, wanted
