"""What a deployment gives away that answers with similarity scores and nothing else."""

from attacks.score_api.attack import ScoreClimbing
from attacks.score_api.trilateration import ScoreTrilateration

__all__ = ["ScoreClimbing", "ScoreTrilateration"]
