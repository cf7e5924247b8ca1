"""Attacks and defenses on a device that refuses what a GPU refuses, where there is no GPU.

Torch knows such a device for the rest of the process, so each of these tests needs one of its own:
run them with ``AUDITOR_TEST_DEVICE=simulated``. Without, the last two start such processes.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from attacks.extraction.network import Student
from attacks.extraction.queries import plan_queries
from attacks.extraction.student import Lesson
from attacks.extraction.views import look
from attacks.inversion.averaging import Averaged
from auditor import plugins
from auditor.certification import controls
from auditor.data.images import load_pixels
from auditor.training import loop
from auditor.types import RunContext
from tests import worlds

SIMULATED = worlds.WANTED == "simulated"
if SIMULATED:
    from tests import simulated
inside = pytest.mark.skipif(not SIMULATED, reason="needs AUDITOR_TEST_DEVICE=simulated")
outside = pytest.mark.skipif(worlds.WANTED != "cpu", reason="starts such a process")

ROOT = Path(__file__).resolve().parents[2]
LIGHT = ("identity_lda", "identity_mlp", "identity_metric", "averaging")


@pytest.fixture
def simulation():
    with simulated.simulation() as running:
        yield running


@inside
def test_tensors_of_two_devices_do_not_meet(simulation):
    there, here = torch.ones(3, device=simulated.DEVICE), torch.ones(3)
    assert (there + there.to(simulated.DEVICE)).device.type == "simulated"
    assert torch.equal((there + here.to(simulated.DEVICE)).cpu(), 2 * here)
    with pytest.raises(RuntimeError, match="at least two devices, simulated:0 and cpu"):
        there + here


@inside
def test_a_generator_of_the_cpu_makes_nothing_there(simulation):
    generator = torch.Generator().manual_seed(0)
    assert torch.rand(2, generator=generator).device.type == "cpu"
    with pytest.raises(RuntimeError, match="generator but found 'cpu'"):
        torch.rand(2, generator=generator, device=simulated.DEVICE)


@inside
def test_values_that_the_host_reads_are_counted(simulation):
    there = torch.ones(3, device=simulated.DEVICE)
    assert float(there.sum()) == 3
    assert bool((there > 0).all())
    assert simulation.reads == 2


@inside
def test_the_host_can_be_kept_from_waiting(simulation):
    there = torch.ones(3, device=simulated.DEVICE)
    with simulated.without_waiting():
        there[torch.tensor([0, 2])].add(1)
    for wait in (torch.Tensor.cpu, lambda x: float(x.sum()), torch.zeros(3).copy_):
        with (
            pytest.raises(AssertionError, match="the host waited"),
            simulated.without_waiting(),
        ):
            wait(there)


@inside
def test_a_network_is_trained_there_and_comes_back(simulation):
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 1).to(simulated.DEVICE)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    rows = torch.rand(16, 3, device=simulated.DEVICE)
    losses = []
    for _ in range(5):
        loss = (network(rows) - rows.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert network.to("cpu")(torch.ones(1, 3)).device.type == "cpu"


@inside
@pytest.mark.parametrize("name", LIGHT)
def test_an_attack_wins_on_a_device(name, simulation, tmp_path):
    ctx = RunContext(seed=3, device=simulated.DEVICE, workdir=tmp_path)
    target = controls.make_planted_target(worlds.people(), ctx)
    attack = plugins.build("attacks", name, worlds.QUICK.get(name, {}))
    found = attack.run(target, ctx).measurements[0]
    assert found.value > found.chance + 0.3


@inside
def test_training_reads_two_values_per_epoch_however_many_steps_it_has(simulation, tmp_path):
    """On a GPU, the host waits at each read until everything before it is computed."""
    ctx = RunContext(device=simulated.DEVICE, workdir=tmp_path)
    rows, labels = torch.rand(64, 4), torch.arange(64) % 2
    columns, epochs, reads = [rows.to(ctx.device), labels.to(ctx.device)], 3, []
    for size in (16, 4):
        before = simulation.reads
        batches = loop.Batches(columns, size, ctx.generator("batches"))
        loop.fit(_Classifier(), batches, epochs=epochs, ctx=ctx, detail="a classifier")
        reads.append(simulation.reads - before)
    assert reads[0] == reads[1] <= 2 * epochs + 4


@inside
def test_a_student_never_makes_the_host_wait(simulation):
    """Its pictures are no part of a batch, which names their rows."""
    own = worlds.few().auxiliary
    queries = plan_queries(own, 8, RunContext())
    lesson = Lesson(queries, torch.randn(8, 3), look(queries.images, RunContext()))
    pixels = load_pixels(own.images, Student.input_size)
    student = Student(lesson, pixels.to(simulated.DEVICE), 1e-3).to(simulated.DEVICE)
    columns = (queries.rows, queries.windows, lesson.answers)
    batch = tuple(column.to(simulated.DEVICE) for column in columns)
    with simulated.without_waiting():
        student.training_step(batch, 0).backward()


@inside
def test_averaging_weights_reads_nothing(simulation):
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2).to(simulated.DEVICE)
    averaged = Averaged(network, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for _ in range(4):
        averaged.update_parameters(network)
    assert simulation.reads == 0


class _Classifier(loop.pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
        )

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self):
        return loop.one_cycle(self, 1e-2, 0.0)


def run_simulated(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={**os.environ, "AUDITOR_TEST_DEVICE": "simulated"},
        capture_output=True,
        text=True,
        check=False,
    )


@outside
def test_some_attacks_win_on_a_simulated_device():
    done = run_simulated(__file__)
    assert done.returncode == 0, done.stdout[-3000:]


@outside
@pytest.mark.slow
def test_every_attack_and_defense_keeps_its_contract_on_a_simulated_device():
    tests = "wins_where or stays_at_chance or compose or mild_defense or come_with_everything"
    # what cannot be simulated: a quantile, for which torch changes a tensor's shape in place, and
    # a network that moves while an optimizer knows its weights
    tests = f"({tests}) and not pis and not vunet and not adversarial"
    files = (f"tests/contract/test_{kind}.py" for kind in ("attacks", "defenses"))
    done = run_simulated("-k", tests, *files)
    assert done.returncode == 0, done.stdout[-3000:]
