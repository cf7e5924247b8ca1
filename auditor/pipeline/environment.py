"""What the audit ran on, for whoever wants to repeat it."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from auditor import __version__
from auditor.artifacts.atomic import json_bytes, write
from auditor.artifacts.regular_file import read_regular
from auditor.console import pathless, printable
from auditor.errors import EnvironmentUnmetError

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "opacus",
    "dp-accounting",
    "lpips",
    "torchmetrics",
    "timm",
    "onnxruntime",
    "openvino",
    "numpy",
    "scipy",
    "pillow",
)


def pick_device(wanted: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        EnvironmentUnmetError: if a GPU is asked for and there is none.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EnvironmentUnmetError("--device cuda: torch sees no GPU; use --device cpu or auto")
    if wanted == "cuda":
        # without it some products of cuBLAS do not repeat; it is read when the first is computed
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device(wanted)


def require_device(device: torch.device) -> None:
    """Make sure that a GPU still answers: after some errors it does not, until the process ends.

    Raises:
        EnvironmentUnmetError: if it does not.
    """
    if device.type == "cpu":
        return
    try:
        torch.ones(1, device=device).item()
    except torch.OutOfMemoryError:
        return  # others may have taken all of its memory
    except RuntimeError as error:
        first, _, _ = str(error).partition("\n")
        raise EnvironmentUnmetError(
            f"{device} does not answer any more ({printable(first, 80)}); "
            "what is finished is kept, and the same command continues from there"
        ) from error


@contextmanager
def determinism(device: torch.device, *, wanted: bool) -> Iterator[None]:
    """Whether what runs inside chooses algorithms that repeat exactly, on a GPU.

    An operation that has none still runs, and torch warns of it by name.
    """
    if not wanted or device.type == "cpu":
        yield
        return
    before = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        torch.backends.cudnn.benchmark = before[1]


def _repeats(device: torch.device, *, deterministic: bool) -> str:
    if device.type == "cpu":
        return "exactly, with as many threads"
    if deterministic:
        return "exactly, on such a GPU"
    return (
        "but for the figures of attacks and defenses that train networks, which can move a little "
        "from run to run; with deterministic: true they do not"
    )


def describe(device: torch.device, *, deterministic: bool = False) -> dict[str, Any]:
    """Versions and device: what a repetition needs to come to the same figures."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "auditor": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "repeats": _repeats(device, deterministic=deterministic),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def occasion(command: str = "") -> dict[str, str]:
    """When and by which command, this process's own if none: what differs between repetitions."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command or pathless(shlex.join(["audit", *sys.argv[1:]])),
    }


def save_occasion(
    path: Path, queries: Mapping[str, int], *, going_on: bool, command: str = ""
) -> None:
    """Write the occasion; one that goes on with an earlier run lists that one's before its own.

    Args:
        path: of the file.
        queries: see `save_queries`; written at once, for a kill in between would forget them.
        going_on: whether there is an earlier run.
        command: see `occasion`.
    """
    said: dict[str, Any] = occasion(command) | ({"queries": dict(queries)} if queries else {})
    if going_on and (before := _said(path)):
        said["earlier"] = [*before.pop("earlier", []), before]
    write(path, json_bytes(said))


def save_queries(path: Path, counts: Mapping[str, int]) -> None:
    """Add to the occasion how many pictures services were asked about, in all parts of the run."""
    if counts:
        write(path, json_bytes({**_said(path), "queries": dict(counts)}))


def spent_queries(path: Path) -> dict[str, int]:
    """Model -> pictures that an earlier part of the run has asked about."""
    try:
        queries = _said(path).get("queries", {})
        return {str(name): max(0, int(count)) for name, count in queries.items()}
    except (ValueError, OverflowError, AttributeError, TypeError):
        return {}


def _said(path: Path) -> dict[str, Any]:
    """Return what an occasion says; nothing if it cannot be read, for it is for people alone."""
    try:
        said = json.loads(read_regular(path))
        json_bytes(said)  # what cannot be written again, such as infinity, is damaged
    except (OSError, ValueError, RecursionError):
        return {}
    whole = isinstance(said, dict) and isinstance(said.get("earlier", []), list)
    return said if whole else {}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
