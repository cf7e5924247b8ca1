"""Reads structures of one .mat file and prints them as JSON; run as a process of its own.

`scipy.io.loadmat` evaluates nothing, but a damaged file can crash it, and with it whatever process
it runs in. So this script has its own, with little memory, and imports nothing of this package.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.io

MEMORY = 4 << 30
"""Bytes of address space; most of it is libraries."""

TOO_NEW = "it is a MATLAB 7.3 file; save it in MATLAB with save(…, '-v7')"


def main(file: str, names: Sequence[str]) -> None:
    """Print ``{"found": {name: structure}}``, or ``{"error": reason}``."""
    _limit()
    answer: dict[str, Any]
    try:
        content = scipy.io.loadmat(file, variable_names=list(names), simplify_cells=True)
        answer = {"found": {name: _plain(content[name]) for name in names if name in content}}
    except NotImplementedError:
        answer = {"error": TOO_NEW}
    # A damaged file can end the reader in almost any way, and each of them means the same to us.
    except Exception as error:
        answer = {"error": f"it is not readable: {error}"}
    sys.stdout.write(json.dumps(answer))


def _plain(value: Any) -> Any:
    """Nested dictionaries and lists of numbers and texts; None for anything else."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, int | float | str) else None


def _limit() -> None:
    """Bound memory and forbid files, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0)):
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, hard))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
