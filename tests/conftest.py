"""What every test shares: no test needs a network, a GPU or more than the machine's cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before hypothesis, torch or Jupyter look at them.
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
# Tiny matrices want one thread. Several spin at barriers, and on a busy machine they wait there
# for threads that do not run; the processes that tests start inherit it.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import torch
from torch import nn

from gdws_explorer.bench import load
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import GDWS, Dense, Tucker2
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust import FGSM
from gdws_explorer.session.session import Session
from gdws_explorer.study.measurements import Measurements
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.records import Record

torch.set_num_threads(1)

PGD = {"name": "PGD", "eps": 0.15, "steps": 20}

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marks, and xdist by the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the tests in order and, for `--dist loadgroup`, in groups that one process runs.

    A file is a group. All browser tests are one, the last: they share a page, stay in the order
    of their files, and have the machine for themselves. In one process the quick tests come
    first; several processes begin with what takes long, so that they end together.
    What starts a PostgreSQL server or runs a whole notebook is slow without saying it.
    """
    several = hasattr(config, "workerinput")

    def place(item: pytest.Item) -> tuple[bool, bool]:
        marks = {mark.name for mark in item.iter_markers()}
        return "browser" in marks, ("slow" in marks) != several

    for item in items:
        if item.path.suffix == ".ipynb" or "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
        browser, _ = place(item)
        group = "browser" if browser else f"{item.path.parent.name}/{item.path.stem}"
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=place)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def bench():
    """The bundled digits: a network, its images and its records. Nobody changes them."""
    return load("digits")


# -- what the rooms robust and training try themselves on ------------------------------------


@pytest.fixture
def net():
    """A small network in training mode with a frozen BatchNorm, a frozen weight and dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(6, 6, 3, stride=2, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 16, 4),
        )
    model.train()
    model[1].eval()
    model[4].weight.requires_grad_(False)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    return model


@pytest.fixture
def data():
    """48 noisy images of four classes, each a bright quarter."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(48) % 4
    images = 0.4 * torch.rand(48, 1, 8, 8, generator=generator)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.5
    return images, labels


@pytest.fixture
def trace():
    """Everything of a model and of torch's generator that a measurement must leave alone."""

    def take(model):
        return (
            {name: value.clone() for name, value in model.state_dict().items()},
            {name: module.training for name, module in model.named_modules()},
            {name: each.requires_grad for name, each in model.named_parameters()},
            {
                name: None if each.grad is None else each.grad.clone()
                for name, each in model.named_parameters()
            },
            torch.get_rng_state(),
            (torch.is_grad_enabled(), torch.get_num_threads()),
        )

    return take


@pytest.fixture
def same():
    """Whether two traces are equal."""

    def compare(a, b):
        if isinstance(a, torch.Tensor):
            return isinstance(b, torch.Tensor) and torch.equal(a, b)
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(compare(a[key], b[key]) for key in a)
        if isinstance(a, tuple):
            return len(a) == len(b) and all(map(compare, a, b))
        return a == b

    return compare


# -- what the rooms study and session try themselves on ---------------------------------------


@pytest.fixture
def record():
    """Make a record; every field can be given."""

    def make(G=10, *, fingerprint="f" * 64, n=360, clean=350, robust=320, **changed):
        layers = (("conv2", GDWS(G)), ("conv3", Tucker2(4, 8)), ("conv4", Dense()))
        raw = {
            "plan": Plan(fingerprint, (1, 8, 8), layers),
            "macs": 1000 * G,
            "params": 10 * G,
            "bytes": 40 * G,
            "error": 1 / G,
            "relative_error": 0.1 / G,
            "clean": clean / n,
            "robust": None if robust is None else robust / n,
            "n": n,
            "clean_correct": clean,
            "robust_correct": robust,
            "attack": None if robust is None else PGD,
            "seed": 0,
            "data": "d" * 16,
            "seconds": 0.1 + 0.2,
            "versions": {"torch": "2.13.0"},
            "machine": "Linux x86_64, 2 cores",
            "created": "2026-11-24T12:00:00+00:00",
            "parent": None,
        }
        return Record(**(raw | changed))

    return make


@pytest.fixture(scope="session")
def network():
    """A small network of torch's own modules, which any process can load."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(8 * 16, 4),
    )
    return Network(model, torch.rand(1, 1, 8, 8))


@pytest.fixture(scope="session")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(40, 1, 8, 8, generator=generator), torch.arange(40) % 4


@pytest.fixture
def evaluator(network, images):
    return PlanEvaluator((network,), images, FGSM(0.1), 40)


@pytest.fixture
def alike():
    """A record without what differs between two measurements of the same."""
    return lambda one: {**one.to_dict(), "seconds": 0, "created": "", "timings": {}}


# -- sessions of the bundled digits, for the rooms session and widgets -------------------------


@pytest.fixture(scope="session")
def digits_network(bench):
    """The network of the bundled digits, with all layers decomposed."""
    return Network(bench.model, bench.example).prepare()


@pytest.fixture
def digits_session(digits_network, bench):
    """A session of the bundled digits with their records, closed after the test."""
    measured = Measurements(digits_network, bench.data, bench.attack, bench.records)
    made = Session.of(digits_network, measured, title="digits", bench="digits")
    yield made
    made.close()
