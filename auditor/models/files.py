"""A model's files, opened once: whoever reads them gets no path that could lead somewhere else."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from auditor.errors import ModelError
from auditor.models.exported import check_beside
from auditor.models.inspection.onnx import outline
from auditor.models.inspection.wire import WireError
from auditor.models.sniff import Format

MOST_BESIDE = 32


@dataclass(frozen=True)
class ModelFiles:
    """The file of a model and those it needs beside it.

    Attributes:
        path: where the user has it; for messages alone.
        main: the file itself.
        beside: name -> file, of weights that lie in files of their own.
    """

    path: Path
    main: BufferedReader
    beside: Mapping[str, BufferedReader] = field(default_factory=dict)


@contextmanager
def open_files(path: Path, form: Format) -> Iterator[ModelFiles]:
    """Open a model's files for reading.

    Raises:
        ModelError: if one is not there.
        ModelRefusedError: if one that it names is a link or lies elsewhere.
    """
    with ExitStack() as stack:
        names = _beside(path, form)
        try:
            main = stack.enter_context(path.open("rb"))
            beside = {n: stack.enter_context((path.parent / n).open("rb")) for n in names}
        except OSError as error:
            raise ModelError(f"cannot read the model {path}: {error.strerror}") from None
        yield ModelFiles(path, main, beside)


def _beside(path: Path, form: Format) -> list[str]:
    names: dict[str, str] = {}
    if form == "openvino":
        names[path.with_suffix(".bin").name] = "weights"
    elif form == "onnx":
        with path.open("rb") as file:
            try:
                found = outline(file, path.stat().st_size)
            except WireError as error:
                raise ModelError(f"{path} is a damaged ONNX file: it has {error}") from None
        names = dict.fromkeys(found.external, "external data")
        if len(names) > MOST_BESIDE:
            raise ModelError(f"{path} wants {len(names)} files beside it; save it in one")
    for name, role in names.items():
        check_beside(path, name, role)
    return list(names)
