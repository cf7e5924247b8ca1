"""XML read element by element, without a DOCTYPE and so without entities."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from auditor.errors import ModelRefusedError


def element_parser(path: Path, begin: Callable[[str, dict[str, str]], None]) -> expat.XMLParserType:
    """Return a parser that hands the name and the attributes of every element to ``begin``.

    It raises `ModelRefusedError` where the file at ``path`` declares anything.
    """

    def refuse(*declaration: object) -> NoReturn:
        raise ModelRefusedError(
            f"{path} is an XML file with a DOCTYPE, which can expand without limit or reach for "
            "other files; OpenVINO writes none: convert the model again"
        )

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    return parser
