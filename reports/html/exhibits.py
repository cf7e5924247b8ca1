"""Pictures of the record; real people are blurred unless asked otherwise."""

import struct
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from auditor.report import AuditReport, Finding
from reports.html.thumbnails import data_uri
from reports.redaction.blur import blur_picture

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 8 * 2**20
"""Bytes of one picture; a report must stay a file that one can send."""
BLURRED = (
    "Real people are blurred. Blurred pictures remain personal data: anyone with the originals "
    "can match them. To show them unblurred: audit report report.json --reveal"
)
GONE = "The picture is not shown: its file is not in the folder of the report."
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
        blurred: why it is blurred; empty if it is not.
        missing: why there is no picture.
    """

    name: str
    caption: str
    uri: str = ""
    width: int = 0
    height: int = 0
    blurred: str = ""
    missing: str = ""


def exhibits(report: AuditReport, finding: Finding, root: Path, *, reveal: bool) -> list[Exhibit]:
    """Return the exhibits of ``finding``, whose paths are relative to ``root``."""
    return [
        picture(report, place, root, name=name, reveal=reveal)
        for name, place in finding.exhibits.items()
    ]


def picture(
    report: AuditReport, place: str, root: Path, *, name: str = "", reveal: bool
) -> Exhibit:
    """Return the picture at ``place``, relative to ``root``, or why it is not shown."""
    caption = CAPTIONS.get(name, name)
    content = read_picture(root, place)
    hide = report.real_people and not reveal
    if hide and isinstance(content, bytes):
        content = _blur(content)
    if isinstance(content, str):
        return Exhibit(name=name, caption=caption, missing=content)
    width, height = struct.unpack(">II", content[16:24])
    shown = {"uri": data_uri(content), "blurred": BLURRED if hide else ""}
    return Exhibit(name=name, caption=caption, width=width, height=height, **shown)


def _blur(content: bytes) -> bytes | str:
    try:
        return blur_picture(content)
    except (OSError, ValueError, Image.DecompressionBombError):
        return "The picture is not shown: its file cannot be decoded."


def read_picture(root: Path, place: str) -> bytes | str:
    """Return the picture at ``place``, or why it is not shown."""
    try:
        file = (root / place).resolve()
        # a record may come from a stranger: it must not fetch any file of the reader's
        if not file.is_relative_to(root.resolve()):
            return "The picture is not shown: it lies outside the folder of the report."
        if file.stat().st_size > LARGEST:
            return "The picture is not shown: its file is too large to embed."
        content = file.read_bytes()
    except (OSError, ValueError):
        return GONE
    if not content.startswith(PNG) or len(content) < 24:
        return "The picture is not shown: its file is not a PNG."
    return content
