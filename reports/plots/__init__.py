"""The figures of a page, drawn with matplotlib."""
