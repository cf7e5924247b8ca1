"""What are stolen vectors worth without the model? Alignment with a space of one's own."""

from attacks.alignment.pictures import AlignedComposite
from attacks.alignment.unpaired import Alignment

__all__ = ["AlignedComposite", "Alignment"]
