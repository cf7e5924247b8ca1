"""A model that runs elsewhere and answers by the Open Inference Protocol, version 2."""

from auditor.models.service.network import ServiceNetwork, open_service

__all__ = ["ServiceNetwork", "open_service"]
