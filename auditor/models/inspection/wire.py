"""Protocol buffers read field by field, without their schema and without copying their contents."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MOST_FIELDS = 2_000_000
"""In one file, over all messages that are looked into; the largest networks have a tenth."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(Exception):
    """The bytes are no such message, or one built to keep its reader busy."""


@dataclass(frozen=True)
class Field:
    """One field: its number, and a number or where its content lies.

    Attributes:
        number: of the field in its message.
        kind: `VARINT`, `FIXED64`, `BYTES` or `FIXED32`.
        value: the number; of bytes their length.
        start: where the content begins in the file.
    """

    number: int
    kind: int
    value: int
    start: int


class WireReader:
    """Walks the messages of a file.

    Args:
        file: seekable.
        size: its length in bytes.
        most: how many fields may be looked at.
    """

    def __init__(self, file: BinaryIO, size: int, most: int = MOST_FIELDS) -> None:
        self.file, self.size, self.left, self.most = file, size, most, most

    def fields(self, start: int = 0, length: int | None = None) -> Iterator[Field]:
        """Yield the fields of the message at ``start``, in order.

        Raises:
            WireError: if it is cut, malformed, or one of too many.
        """
        end = self.size if length is None else start + length
        position = start
        while position < end:
            self.left -= 1
            if self.left < 0:
                raise WireError(f"more than {self.most} fields")
            self.file.seek(position)
            tag = self._varint()
            kind = tag & 7
            if kind == VARINT:
                value, here = self._varint(), self.file.tell()
                field, position = Field(tag >> 3, kind, value, here), here
            elif kind == BYTES:
                value, here = self._varint(), self.file.tell()
                field, position = Field(tag >> 3, kind, value, here), here + value
            elif kind in (FIXED64, FIXED32):
                here, width = self.file.tell(), 8 if kind == FIXED64 else 4
                field, position = Field(tag >> 3, kind, 0, here), here + width
            else:
                raise WireError(f"a field of kind {kind}")
            if position > end:
                raise WireError("a field that ends behind its message")
            yield field

    def inside(self, field: Field) -> Iterator[Field]:
        """Return the fields of a message that is itself a field."""
        if field.kind != BYTES:
            raise WireError("a number where a message belongs")
        return self.fields(field.start, field.value)

    def text(self, field: Field, longest: int = 4096) -> str:
        """Return the beginning of a text."""
        return self.content(field, longest).decode(errors="replace")

    def content(self, field: Field, longest: int) -> bytes:
        """Return the beginning of a field's bytes."""
        if field.kind != BYTES:
            raise WireError("a number where bytes belong")
        self.file.seek(field.start)
        return self.file.read(min(field.value, longest))

    def numbers(self, field: Field) -> list[int]:
        """Return a repeated number, which may be packed."""
        if field.kind == VARINT:
            return [field.value]
        if field.value > 10 * 64:
            raise WireError("a list of more numbers than a shape has")
        self.file.seek(field.start)
        found = []
        while self.file.tell() < field.start + field.value:
            found.append(self._varint())
        return found

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.file.read(1)
            if not byte:
                raise WireError("an end in the middle of a number")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value & (2**64 - 1)
        raise WireError("a number that does not end")
