"""Pictures of the record, embedded only when nobody real is shown or somebody asked for them."""

import struct
from dataclasses import dataclass
from pathlib import Path

from auditor.report import AuditReport, Finding
from reports.shrinking import data_uri

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 8 * 2**20
"""Bytes of one picture; a report must stay a file that one can send."""
WITHHELD = "Pictures of real people are withheld; show them with: audit report report.json --reveal"
CAPTIONS = {"reconstructions": "Originals above, reconstructions from their stored features below"}


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A picture, or the sentence that stands in its place.

    Attributes:
        name: the finding's own name for it.
        caption: what is to be seen.
        uri: ``data:`` address; empty if there is no picture.
        width: in pixels.
        height: in pixels.
        missing: why there is no picture.
    """

    name: str
    caption: str
    uri: str = ""
    width: int = 0
    height: int = 0
    missing: str = ""


def exhibits(report: AuditReport, finding: Finding, root: Path, *, reveal: bool) -> list[Exhibit]:
    """The exhibits of ``finding``, whose paths are relative to ``root``."""
    return [
        picture(report, place, root, name=name, reveal=reveal)
        for name, place in finding.exhibits.items()
    ]


def picture(
    report: AuditReport, place: str, root: Path, *, name: str = "", reveal: bool
) -> Exhibit:
    """The picture at ``place``, relative to ``root``, or why it is not shown."""
    caption = CAPTIONS.get(name, name)
    if report.real_people and not reveal:
        return Exhibit(name=name, caption=caption, missing=WITHHELD)
    content = _read(root, place)
    if isinstance(content, str):
        return Exhibit(name=name, caption=caption, missing=content)
    width, height = struct.unpack(">II", content[16:24])
    uri = data_uri(content)
    return Exhibit(name=name, caption=caption, uri=uri, width=width, height=height)


def _read(root: Path, place: str) -> bytes | str:
    """The picture at ``place``, or why it is not shown."""
    try:
        file = (root / place).resolve()
        # a record may come from a stranger: it must not fetch any file of the reader's
        if not file.is_relative_to(root.resolve()):
            return "The picture is not shown: it lies outside the folder of the report."
        if file.stat().st_size > LARGEST:
            return "The picture is not shown: its file is too large to embed."
        content = file.read_bytes()
    except (OSError, ValueError):
        return "The picture is not shown: its file is not in the folder of the report."
    if not content.startswith(PNG) or len(content) < 24:
        return "The picture is not shown: its file is not a PNG."
    return content
