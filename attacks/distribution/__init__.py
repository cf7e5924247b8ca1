"""What is the crowd made of? Shares of properties among the people of a gallery."""

from attacks.distribution.shares import Distribution, DistributionBbse

__all__ = ["Distribution", "DistributionBbse"]
