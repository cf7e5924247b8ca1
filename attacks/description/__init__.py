"""Who is it, if all that is known is what they look like? Search by words."""

from attacks.description.search import Description, DescriptionGaussian

__all__ = ["Description", "DescriptionGaussian"]
