"""The workbook."""

from reports.excel.workbook import render

__all__ = ["render"]
