"""Where did each person go? Clustering of a gallery's entries across cameras."""

from attacks.movement.clustering import Movement, MovementPlda

__all__ = ["Movement", "MovementPlda"]
