"""A model that runs elsewhere: behind the Open Inference Protocol, or taking pictures in JSON."""

from auditor.models.service.meter import Meter
from auditor.models.service.network import ServiceNetwork, open_service, speaks_open_inference
from auditor.models.service.pictures import check_pictures_card

__all__ = [
    "Meter",
    "ServiceNetwork",
    "check_pictures_card",
    "open_service",
    "speaks_open_inference",
]
