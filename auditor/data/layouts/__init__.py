"""The layouts of public re-ID datasets, one reader each, and which of them a folder has."""

from auditor.data.layouts.detect import FORMS, MANIFEST, NAMED, SHAPES, SPLIT_NAME, Form, read_rows

__all__ = ["FORMS", "MANIFEST", "NAMED", "SHAPES", "SPLIT_NAME", "Form", "read_rows"]
