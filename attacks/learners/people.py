"""Several pictures of one person: their mean, and how they spread around it."""

from torch import Tensor


def person_means(rows: Tensor, pids: Tensor) -> Tensor:
    """For each of rows ``(N, D)`` the mean over its person ``(N, D)``."""
    people, person = pids.unique(return_inverse=True)
    sums = rows.new_zeros(len(people), rows.shape[1]).index_add_(0, person, rows)
    means: Tensor = (sums / person.bincount()[:, None])[person]
    return means
