"""What are they like, with one linear boundary each: the rung below the attribute network."""

from pydantic import PositiveInt

from attacks.attribute.boundaries import learn_boundaries
from attacks.attribute.labels import MEASURABLE
from attacks.attribute.learning import Known, Reader, pool_entries, read_attributes
from attacks.attribute.reference import Reading
from auditor.plugins.declaring import checked_dataclass
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class AttributeLogistic(Reading):
    """Infers annotated attributes from stored embeddings by logistic regression.

    Threat model: has the whole stored gallery, without names, and own annotated pictures of other
    people, about as many of each as the gallery has; may query the extractor on those and knows how
    the gallery is protected and released; infers each attribute of every stored entry. People
    learned from and people attacked are disjoint.

    Source: logistic regression with equal weight on classes and people, the usual linear probe, on
    features whitened by the spread within people (Fisher, 1936). Entries are averaged with their
    nearest ones, which are mostly of the same person, before they are read.

    Attributes:
        inverse_penalty: scikit-learn's C on rows of unit length.
        neighbours: how many nearest entries each entry is averaged with; none: chosen on own people
            who are held out.
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    inverse_penalty: float = 0.3
    neighbours: int | None = None
    min_people: PositiveInt = MEASURABLE

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return read_attributes(
            self.learn,
            target,
            ctx,
            min_people=self.min_people,
            prepare=pool_entries(self.neighbours),
        )

    def learn(self, known: Known) -> Reader:
        """Learn one regression per attribute."""
        return learn_boundaries(known, self.inverse_penalty)
