"""De-identification of pictures by plain image processing: the baselines of PIS (Table 2)."""

from defenses.image_deid.filters import Blur, Downscale, Pixelation
from defenses.image_deid.random_image import RandomImage
from defenses.image_deid.regions import RemoveBody, RemoveHead

__all__ = ["Blur", "Downscale", "Pixelation", "RandomImage", "RemoveBody", "RemoveHead"]
