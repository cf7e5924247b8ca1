"""What a text for pull requests and build servers must not carry: people and pictures."""

import re
from collections.abc import Iterable

PICTURES = re.compile(r"data:image|<img|<svg|<picture|!\[[^\]]*\]\(|\.png|\.jpe?g", re.I)
FOLDER = re.compile(r"\bpersonal/")


def assert_names_nobody(
    text: str, *, identities: Iterable[str] = (), pseudonyms: Iterable[str] = ()
) -> None:
    """No picture, no path to one, and nobody in ``text``, by name or under a pseudonym.

    Args:
        text: as it was rendered.
        identities: the dataset's own; such as cannot be mistaken for a count.
        pseudonyms: of the same people.
    """
    if found := PICTURES.search(text) or FOLDER.search(text):
        raise AssertionError(f"the text carries a picture: {found[0]!r}")
    for name in (*identities, *pseudonyms):
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text):
            raise AssertionError(f"the text names {name!r}")
