"""Records to JSON and back."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from auditor.errors import UsageError
from auditor.report.audit_report import SCHEMA, AuditReport
from auditor.report.older import upgrade

_ADAPTER = TypeAdapter(AuditReport)
LONGEST = 1000
"""Characters of a reason, in which there may be keys of the file."""


def dumps(report: AuditReport) -> str:
    """Return the record as strict JSON: no NaN, keys in the order of the fields."""
    plain = _encodable(_ADAPTER.dump_python(report, mode="python"))
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _encodable(value: Any) -> Any:
    """Plain data whose text survives UTF-8: a file name may contain bytes that are no text."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_encodable(str(key)): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def loads(text: str | bytes, source: str = "report") -> AuditReport:
    """Read a record back.

    Raises:
        UsageError: if it is not JSON of this schema.
    """
    try:
        plain = json.loads(text, parse_constant=_finite, parse_float=_finite)
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if schema not in (None, *range(1, SCHEMA + 1)):
            raise UsageError(f"{source} has schema {schema}; this version reads up to {SCHEMA}")
        return _ADAPTER.validate_python(upgrade(plain))
    except (ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            said = str(error)[:LONGEST]
            raise UsageError(f"{source} is not an audit record: {said}") from None
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "top level"
        said = f"{place}: {first['msg']}"[:LONGEST]
        raise UsageError(f"{source} is not an audit record: {said}") from None


def _finite(number: str) -> float:
    """Return a number of a record; no writer of ours leaves NaN or infinity in one."""
    if math.isfinite(value := float(number)):
        return value
    raise ValueError(f"it contains {number[:20]}, which is not a finite number")


def load(path: Path) -> AuditReport:
    """Read ``report.json``.

    Raises:
        UsageError: if the file is missing or is not an audit record.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a file; give the report.json of an audit")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return loads(text, str(path))
