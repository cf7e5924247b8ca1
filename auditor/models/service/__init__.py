"""A model that runs elsewhere and answers by the Open Inference Protocol, version 2."""

from auditor.models.service.meter import Meter
from auditor.models.service.network import ServiceNetwork, open_service

__all__ = ["Meter", "ServiceNetwork", "open_service"]
