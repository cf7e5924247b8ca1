"""Features of people as a store holds them, without any picture."""

import numpy as np


def stored_people(
    people: int = 8, *, first: int = 1, dim: int = 24, pictures: int = 4, seed: int = 0
) -> dict[str, np.ndarray]:
    """Rows about a centre per person, seen by cameras 0 and 1 in turn.

    Centres depend on the person alone, and steps on ``seed`` too.
    """
    pids = np.repeat(np.arange(first, first + people), pictures)
    steps = np.random.default_rng([seed, first]).normal(size=(len(pids), dim))
    centres = np.stack([np.random.default_rng(int(pid)).normal(size=dim) for pid in pids])
    features = (centres + 0.4 * steps).astype(np.float32)
    camids = np.tile(np.arange(pictures) % 2, people)
    return {"features": features, "pid": pids, "camid": camids}
