"""The gates that a record came with, read back from it."""

from math import isfinite

from pydantic import TypeAdapter, ValidationError

from auditor.console import printable
from auditor.errors import UsageError
from auditor.gates.gate import Gate
from auditor.report import AuditReport


def own_gates(record: AuditReport) -> list[Gate]:
    """Return the gates a record came with.

    Raises:
        UsageError: if they are not of the form this version writes: a limit that is not read is
            one that is not kept.
    """
    given = record.config.get("gates", [])
    known = Gate.__dataclass_fields__
    try:
        gates = TypeAdapter(list[Gate]).validate_python(given, strict=False)
        strange = [key for gate in given for key in gate if key not in known]
    except (ValidationError, TypeError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"the record's gates cannot be read: {printable(said, 200)}") from None
    if strange or not all(isfinite(gate.limit) for gate in gates):
        what = f"the key {printable(str(strange[0]), 80)!r}" if strange else "a limit"
        raise UsageError(f"the record's gates cannot be read: {what} is not known")
    return gates
