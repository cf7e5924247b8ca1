"""A model that runs elsewhere: the same features, a budget that holds, and every failure said."""

import json
import time
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from auditor.config import ModelConfig, ServiceConfig, load
from auditor.errors import BudgetSpentError, ModelError, UsageError
from auditor.models.service.client import Client
from auditor.models.service.meter import Meter
from auditor.models.service.network import ServiceNetwork, open_service
from auditor.pipeline.inputs import meter_of, open_configured
from tests.service import METADATA, Service, dripping, serve, thumbnail

IMAGES = torch.rand(5, 3, 32, 16, generator=torch.Generator().manual_seed(0))
CARD = {"height": 32, "width": 16, "mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.fixture
def service():
    with serve(Service()) as running:
        yield running


def client_of(service, **changes):
    settings = {"headers": {}, "seconds": 5.0, "retries": 2, "meter": Meter(), **changes}
    return Client(url=service.url, sleep=lambda _: None, **settings)


def network_of(service, batch=2, **changes):
    return ServiceNetwork(client_of(service, **changes), batch)


@pytest.mark.parametrize("extensions", [(), ("binary_tensor_data",)], ids=["json", "binary"])
def test_features_are_the_models_own_in_either_encoding(service, extensions):
    service.extensions = extensions
    (features,) = network_of(service)(IMAGES)
    assert np.allclose(features.numpy(), thumbnail(IMAGES.numpy()), atol=1e-6)
    assert service.batches == [2, 2, 1]
    assert set(service.binary) == {bool(extensions)}


def test_a_fixed_batch_is_kept_to(service):
    port = {**METADATA["inputs"][0], "shape": [1, 3, 32, 16]}
    service.metadata["inputs"] = [port]
    network_of(service, batch=32)(IMAGES)
    assert service.batches == [1] * 5


def test_an_audits_extractor_without_gradients(service):
    config = ModelConfig(service=ServiceConfig(url=service.url), card=CARD)
    model = open_configured(config, torch.device("cpu"))
    assert model.extractor.feature_dim == 24
    assert not model.extractor.differentiable
    assert model.facts["file"] == "reid"
    assert meter_of(model).spent == service.pictures > 0


class TestBudget:
    def test_is_never_exceeded(self, service):
        network = network_of(service, meter=Meter(budget=4))
        with pytest.raises(BudgetSpentError, match="budget of 4 pictures does not cover 1 more"):
            network(IMAGES)
        assert service.pictures == network.client.meter.spent == 4

    def test_counts_what_was_sent_again(self, service):
        service.script = [(503, b"", {})]
        network = network_of(service, meter=Meter(budget=8))
        network(IMAGES)
        assert service.pictures == network.client.meter.spent == 7

    def test_stops_repetition(self, service):
        service.script = [(503, b"", {})] * 9
        network = network_of(service, meter=Meter(budget=5), retries=9)
        with pytest.raises(BudgetSpentError):
            network(IMAGES)
        assert service.pictures == 4

    def test_is_kept_before_anything_is_sent(self, service):
        seen = []
        meter = Meter(keep=lambda count: seen.append((count, service.pictures)))
        network_of(service, meter=meter)(IMAGES)
        assert seen == [(2, 0), (4, 2), (5, 4)]

    def test_goes_on_where_an_earlier_run_stopped(self, service):
        network = open_service(ServiceConfig(url=service.url, budget=10), spent=8)
        with pytest.raises(BudgetSpentError):
            network(IMAGES)
        assert service.pictures == 0


def test_a_rate_is_kept():
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    meter = Meter(rate=4, clock=lambda: now[0], sleep=sleep)
    for _ in range(5):
        meter.spend(1)
    assert now[0] == pytest.approx(1)
    assert pauses == pytest.approx([0, 0.25, 0.25, 0.25, 0.25])


GOOD = {"name": "features", "datatype": "FP32", "shape": [2, 24], "data": [0.5] * 48}


def said(**changes):
    return 200, json.dumps({"outputs": [{**GOOD, **changes}]}).encode(), {}


FAILURES = {
    "status 400, no such input": [(400, b'{"error": "no such input"}', {})],
    "status 301": [(301, b"", {"Location": "http://127.0.0.1:1/"})],
    "after 3 tries: status 503": [(503, b"", {})] * 3,
    "answers with no JSON": [(200, b"<html>", {})],
    "is not in the Open Inference Protocol": [(200, b"[1]", {})],
    "contains no output": [(200, b'{"outputs": []}', {})],
    r"shape \(3, 16\) for 2 images": [said(shape=[3, 16])],
    "is not in the Open Inference Protocol ": [said(shape=[2, 25])],
    "not in the Open Inference Protocol": [said(datatype="BYTES")],
    "not in the Open Inference Protocol  ": [said(shape=[-2, -24])],
    "the Open Inference Protocol": [said(parameters={"binary_data_size": 10**9})],
    "do not agree": [said(name="other")],
    "IncompleteRead": [(200, b"short", {"Content-Length": "500", "Connection": "close"})] * 3,
}


@pytest.mark.parametrize("message", FAILURES)
def test_a_bad_answer_is_said(service, message):
    network = network_of(service, seconds=1.0)
    service.script = list(FAILURES[message])
    with pytest.raises(ModelError, match=message.strip()) as refused:
        network(IMAGES[:2])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("first", ["0.5", None, [1], 10**400])
def test_what_is_no_number_is_none(service, first):
    """Although numpy would make one of it."""
    network = network_of(service)
    service.script = [said(data=[first, *[0.5] * 47])]
    with pytest.raises(ModelError, match="not in the Open Inference Protocol"):
        network(IMAGES[:2])


def test_a_header_of_too_many_digits(service):
    network = network_of(service)
    service.script = [(200, b"{}", {"Inference-Header-Content-Length": "1" * 5000})]
    with pytest.raises(ModelError, match="not in the Open Inference Protocol"):
        network(IMAGES[:2])


def test_numbers_too_large_for_a_feature_are_refused_as_infinity(service):
    network = network_of(service)
    service.script = [said(data=[1e300] * 48)]
    assert network(IMAGES[:2])[0].isinf().all()


def test_what_passes_is_asked_again(service):
    service.script = [(429, b"", {"Retry-After": "7"}), (502, b"", {})]
    pauses = []
    client = replace(client_of(service), sleep=pauses.append)
    ServiceNetwork(client, 8)(IMAGES)
    assert pauses == [7.0, 1.0]
    assert service.batches == [5, 5, 5]


def test_one_that_does_not_answer_in_time(service):
    network = network_of(service, seconds=0.2, retries=1)
    service.delay = 1.0
    with pytest.raises(ModelError, match=r"after 2 tries: it takes longer than"):
        network(IMAGES[:1])


DRIPPING = {
    "header": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("where", DRIPPING)
def test_one_that_sends_a_byte_now_and_then_is_not_waited_for(where):
    """Each byte comes in time, and the answer never does."""
    with dripping(*DRIPPING[where]) as url:
        client = Client(url=url, headers={}, seconds=0.3, retries=0, meter=Meter())
        began = time.monotonic()
        with pytest.raises(ModelError, match=r"longer than model\.service\.seconds allows"):
            client.get(url)
        assert time.monotonic() - began < 5


def test_one_that_is_not_there(service):
    gone = replace(client_of(service), url="http://127.0.0.1:9/v2/models/reid")
    with pytest.raises(ModelError, match="does not answer after 3 tries"):
        ServiceNetwork(gone, 2)


@pytest.mark.parametrize("metadata", [[], {}, {"inputs": [], "outputs": []}, {"inputs": [{}]}])
def test_a_model_of_something_else(service, metadata):
    service.metadata = metadata
    with pytest.raises(ModelError, match=r"nothing usable|takes nothing"):
        network_of(service)


class TestHeaders:
    def test_come_from_the_environment(self, service, monkeypatch):
        service.token = "Bearer secret"
        monkeypatch.setenv("REID_TOKEN", "Bearer secret")
        config = ServiceConfig(url=service.url, headers={"Authorization": "REID_TOKEN"})
        assert open_service(config)(IMAGES)[0].shape == (5, 24)

    def test_are_never_shown(self, service, monkeypatch):
        service.token = "Bearer secret"
        monkeypatch.setenv("REID_TOKEN", "Bearer other")
        config = ServiceConfig(url=service.url, headers={"Authorization": "REID_TOKEN"})
        with pytest.raises(ModelError, match="status 401, who are you") as refused:
            open_service(config)
        assert "other" not in str(refused.value)

    def test_that_are_missing_are_named(self, service):
        config = ServiceConfig(url=service.url, headers={"Authorization": "NOT_THERE"})
        with pytest.raises(UsageError, match="no variable 'NOT_THERE'"):
            open_service(config)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/v2/models/reid", "host/reid", "https:///v2/models/reid", "https:///reid"),
        *("https://me:pass@host/v2/models/reid", "https://host/v2/models/reid?key=1"),
        "https://[bad/v2/models/reid",
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url):
    with pytest.raises(UsageError) as refused:
        open_service(ServiceConfig(url=url))
    assert "pass@" not in str(refused.value)


class TestPicturesInJson:
    CARD: ClassVar = {"preset": "pictures", "height": 32, "width": 16}

    @pytest.fixture
    def network(self, service):
        client = replace(client_of(service), url=service.pictures_url)
        return ServiceNetwork(client, 2)

    def test_features_are_those_of_the_pictures(self, service, network):
        pixels = (IMAGES * 255).round().to(torch.uint8)
        (features,) = network(pixels)
        assert np.allclose(features.numpy(), thumbnail(pixels.numpy() / 255), atol=1e-6)
        assert service.batches == [2, 2, 1]

    def test_an_audits_extractor(self, service):
        config = ModelConfig(service=ServiceConfig(url=service.pictures_url), card=self.CARD)
        model = open_configured(config, torch.device("cpu"))
        assert np.allclose(model.extractor(IMAGES), thumbnail(IMAGES.numpy()), atol=0.5 / 255)
        assert model.facts["file"] == "embed"
        assert model.facts["format"] == "service (pictures in JSON)"
        assert meter_of(model).spent == service.pictures > 0

    @pytest.mark.parametrize("card", ["torchreid", {"preset": "pictures", "colour": "bgr"}])
    def test_pictures_are_not_prepared(self, service, card):
        config = ModelConfig(service=ServiceConfig(url=service.pictures_url), card=card)
        with pytest.raises(UsageError, match="give the card pictures"):
            open_configured(config, torch.device("cpu"))
        assert service.pictures == 0

    @pytest.mark.parametrize(
        "body",
        [
            *(b"[]", b"{}", b"3", b'{"features": null}', b'{"features": [[1, 2], [1]]}'),
            *(b'{"features": [[1, 2]]}', b'{"features": [1, 2]}', b'{"features": [["a"], ["b"]]}'),
            *(b'{"features": [[{}], [{}]]}', b'{"features": [[1' + b"0" * 400 + b"], [1]]}"),
            *(b'{"features": [[], []]}', b'{"features": [["1"], ["2"]]}'),
            *(b'{"features": [[null], [null]]}', b'{"features": [[true], [false]]}'),
        ],
    )
    def test_another_form_is_said(self, service, network, body):
        service.script = [(200, body, {})]
        with pytest.raises(ModelError, match="one list of numbers for each picture"):
            network(torch.zeros(2, 3, 32, 16, dtype=torch.uint8))

    def test_the_budget_and_retries_hold(self, service):
        service.script = [(503, b"", {})]
        client = client_of(service, meter=Meter(budget=5))
        network = ServiceNetwork(replace(client, url=service.pictures_url), 2)
        with pytest.raises(BudgetSpentError):
            network(torch.zeros(5, 3, 32, 16, dtype=torch.uint8))
        assert service.batches == [2, 2]


class TestConfiguration:
    def test_says_file_or_service(self):
        with pytest.raises(UsageError, match="give a path, or a service"):
            load(None, {"model": {"path": "a", "service": {"url": "https://h/v2/models/m"}}})
        with pytest.raises(UsageError, match="a service has no arch"):
            load(None, {"model": {"arch": "a", "service": {"url": "https://h/v2/models/m"}}})

    def test_keeps_hosts_and_secrets_out_of_the_record(self):
        service = {"url": "https://inner.host/v2/models/m", "headers": {"A": "B"}}
        written = load(None, {"model": {"service": service}}).to_record()
        assert written["model"]["service"]["url"] == "models/m"

    @pytest.mark.parametrize("url", ["https://inner.host/embed", "https://inner.host:8/v2/embed/"])
    def test_keeps_hosts_of_other_services_out_of_it(self, url):
        written = load(None, {"model": {"service": {"url": url}}}).to_record()
        assert written["model"]["service"]["url"] == "embed"
