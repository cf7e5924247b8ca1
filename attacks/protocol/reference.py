"""The best adversary of a search, on the faint plant whose parameters it knows.

It is given exactly what the attack is given, asks the same questions and is scored by the same
code, but it knows the true moments of people and pictures where an attack has to learn them. What
an attack reaches, as a share of this, is its efficiency; see `auditor.certification.certificates`.
"""

from attacks.protocol.matching import rate_search, search
from auditor.certification.planting import AMPLITUDE, CELLS, Planted
from auditor.embedding import stored_gallery
from auditor.types import AttackResult, RunContext


def find_people(planted: Planted, ctx: RunContext, name: str) -> AttackResult:
    """Search the entries with clean queries, by the cosine that is best for the planted leak."""
    data, truth = planted.target.data, planted.truth(ctx)
    partners = data.gallery.partners
    query = data.query.images.load(range(len(data.query)), CELLS).flatten(1) - 0.5
    asked, entries = truth.finding(query / AMPLITUDE, stored_gallery(planted.target, ctx))
    found = search(asked, entries, data, partners)
    return AttackResult(rate_search(name, found, data, partners))
