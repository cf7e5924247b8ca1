"""What the names of pictures give away about the dataset they come from, whatever the layout.

A manifest, a copy in other folders or a wrongly named layout must not hide that a dataset was
withdrawn, or that it shows no people.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from auditor.data.layouts import dukemtmc

WITHDRAWN = (
    "These pictures are called like DukeMTMC-reID's. Duke University withdrew that dataset in June "
    "2019: its people were filmed and published beyond what the ethics review had allowed. Use it "
    "for nothing new, and do not pass it on."
)
VEHICLES = (
    "These pictures are called like VeRi's: they show vehicles, so every 'person' and 'identity' "
    "here is a vehicle."
)
KNOWN = (
    (dukemtmc.NAME, WITHDRAWN),
    (re.compile(r"[0-9]{4}_c[0-9]{3}_[0-9]{8}_[0-9]+\."), VEHICLES),
)
SHARE = 0.5
"""The share of pictures that must be called so."""


def provenance(paths: Iterable[str]) -> tuple[str, ...]:
    """Return a notice for each known dataset that most of these pictures seem to come from."""
    names = [PurePosixPath(path).name for path in paths]
    return tuple(
        notice
        for form, notice in KNOWN
        if names and sum(map(bool, map(form.match, names))) > SHARE * len(names)
    )
