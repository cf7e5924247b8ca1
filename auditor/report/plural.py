"""How many of something, in words that agree."""


def pluralize(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun; ``many`` is the plural where an s does not make it.

    >>> pluralize(1, "release"), pluralize(0, "release"), pluralize(2, "person", "people")
    ('1 release', '0 releases', '2 people')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
