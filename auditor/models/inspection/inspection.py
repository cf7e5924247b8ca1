"""What is known of a model file before anything in it has been run."""

from dataclasses import dataclass, field


@dataclass
class Inspection:
    """The outline of a model file.

    Attributes:
        file: its name.
        bytes: its size.
        sha256: its digest.
        format: what it is, by its content.
        tier: how far it must be trusted to be opened.
        opening: where it would be opened, or why not and what else to do.
        members: of an archive: name and bytes.
        inputs: name, type and shape, as far as the file says.
        outputs: likewise.
        tensors: how many weights.
        parameters: numbers in them; None where the file does not say.
        holds: some of what is in it.
        notes: what a reader should know.
        beside: files that it needs beside it.
    """

    file: str
    bytes: int
    sha256: str
    format: str
    tier: str
    opening: str
    members: list[tuple[str, int]] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    tensors: int | None = None
    parameters: int | None = None
    holds: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
