"""The form of `report.json` as JSON Schema (draft 2020-12), made from the record's own classes.

What a field means is said once, in the docstring of its class; the schema repeats it from there, so
that whoever reads a record with other tools needs nothing else. Older records of the same schema
number fit too: fields that came later are not required.
"""

import dataclasses
import inspect
import re
from typing import Any

from pydantic import TypeAdapter

from auditor import report
from auditor.report.audit_report import SCHEMA, AuditReport

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER = f"urn:reid-privacy-auditor:report:{SCHEMA}"

_HEADING = re.compile(r"^(Attributes|Raises|Args|Returns):$", re.MULTILINE)
_FIELD = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def record_schema() -> dict[str, Any]:
    """Return the schema, ready for `json.dumps`."""
    made = TypeAdapter(AuditReport).json_schema(mode="validation")
    classes = made.pop("$defs")
    for name, schema in (*classes.items(), (AuditReport.__name__, made)):
        _describe(schema, getattr(report, name))
    made["properties"]["schema"] |= {"const": SCHEMA}
    made["title"] = "Privacy audit record"
    return {"$schema": DIALECT, "$id": IDENTIFIER, **made, "$defs": classes}


def _describe(schema: dict[str, Any], documented: type) -> None:
    """Put the class's first sentences, and the meaning of each field, where readers look."""
    assert dataclasses.is_dataclass(documented)
    summary, meanings = _sections(inspect.getdoc(documented) or "")
    schema["description"] = summary
    for name, field in schema["properties"].items():
        field.pop("title", None)  # a field's name with a capital letter says nothing new
        if name in meanings:
            field["description"] = meanings[name]


def _sections(docstring: str) -> tuple[str, dict[str, str]]:
    """Return what precedes the first heading, and the fields and meanings in ``Attributes``."""
    summary, *rest = _HEADING.split(docstring)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    fields = _FIELD.findall(sections.get("Attributes", ""))
    return " ".join(summary.split()), {name: " ".join(text.split()) for name, text in fields}
