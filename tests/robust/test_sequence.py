"""Several attacks in a row, images that leave, evaluations that are killed and go on."""

import json
import threading

import numpy as np
import pytest
import torch
import torchattacks
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import Cancelled, DataError, ModelError
from gdws_explorer.robust import pgd
from gdws_explorer.robust.attacks import APGD, FGSM, PGD, Square
from gdws_explorer.robust.evaluation import evaluate
from gdws_explorer.robust.report import Report
from gdws_explorer.robust.sequence import AttackSequence, any_attack_from_dict, standard_sequence


@pytest.fixture(scope="module")
def data(bench):
    return tuple(part[:90] for part in bench.data)


def plain_loop(model, data, strike, batch):
    """Right before, and right after torchattacks' own loop, image by image."""
    found = []
    for start in range(0, len(data[1]), batch):
        x, y = (part[start : start + batch] for part in data)
        with torch.no_grad():
            before = model(x).argmax(1) == y
        adv = strike(x, y)
        with torch.no_grad():
            found.append(before & (model(adv).argmax(1) == y))
    return torch.cat(found).numpy()


@pytest.mark.parametrize(
    ("attack", "strike"),
    [
        (
            PGD(0.15, steps=20, random_start=False),
            lambda m: torchattacks.PGD(m, 0.15, 2.5 * 0.15 / 20, 20, random_start=False),
        ),
        (
            PGD(1.5, steps=12, random_start=False, norm="l2"),
            lambda m: torchattacks.PGDL2(m, 1.5, 2.5 * 1.5 / 12, 12, random_start=False),
        ),
    ],
    ids=["linf", "l2"],
)
def test_the_verdicts_are_those_of_torchattacks(bench, data, attack, strike):
    report = evaluate(bench.model, data, attack, batch_size=30)
    assert np.array_equal(
        report.robust_mask, plain_loop(bench.model, data, strike(bench.model), 30)
    )
    assert 0 < report.robust_correct < report.clean_correct


@pytest.mark.slow
def test_stages_only_meet_what_still_stands(bench, data):
    stages = FGSM(0.15), PGD(0.15, steps=10), APGD(0.15, steps=10)
    met = {}

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = bench.model
            self.seen = 0

        def forward(self, x):
            self.seen += len(x)
            return self.model(x)

    alone = [evaluate(bench.model, data, stage) for stage in stages]
    report = evaluate(bench.model, data, stages)
    assert report.attack == AttackSequence(stages)
    assert list(report.stages) == sorted(report.stages, reverse=True)
    assert report.robust_correct == report.stages[-1] <= min(one.robust_correct for one in alone)
    assert report.stages[0] == alone[0].robust_correct
    assert (report.robust_mask <= alone[0].robust_mask).all()
    assert met == {}


def test_restarts_never_help_the_network(bench, data):
    once = evaluate(bench.model, data, PGD(0.15, steps=5))
    often = evaluate(bench.model, data, PGD(0.15, steps=5, restarts=4))
    assert (often.robust_mask <= once.robust_mask).all()


def test_fooled_images_leave_the_batch(bench, data):
    sizes = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = bench.model

        def forward(self, x):
            sizes.append(len(x))
            return self.model(x)

    evaluate(Watching(), data, PGD(0.3, steps=10), batch_size=90)
    assert sizes[0] == 90
    assert sizes.pop(1) == 2  # the look whether images of a batch influence each other
    assert sizes[-1] < sizes[1] <= 90
    assert sizes[1:] == sorted(sizes[1:], reverse=True)


def test_a_staged_attack_goes_through_json_and_reports(bench, data):
    staged = standard_sequence(8 / 255)
    assert any_attack_from_dict(json.loads(json.dumps(staged.to_dict()))) == staged
    assert staged.label.startswith("PGD-10 ℓ∞ ε 8/255, then PGD-50 ℓ∞ ε 8/255, 5 restarts, then")
    report = evaluate(bench.model, data, [FGSM(0.1), PGD(0.1, steps=3)], n=20)
    again = Report.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again == report
    assert "then" in str(report)
    for wrong in ((), [None], ["PGD"], "PGD", 3):
        with pytest.raises(DataError):
            evaluate(bench.model, data, wrong, n=5)


STAGES = (PGD(0.15, steps=4), Square(0.15, queries=20))


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_and_ends_the_same(bench, data, tmp_path):
    whole = evaluate(bench.model, data, STAGES, batch_size=30, n=80)
    file, stop = tmp_path / "run.json", threading.Event()

    def kill(_fraction, partial):
        if partial.done >= 30:
            stop.set()

    with pytest.raises(Cancelled):
        evaluate(
            bench.model, data, STAGES, batch_size=30, n=80, resume=file, progress=kill, cancel=stop
        )
    assert json.loads(file.read_text())["done"] == 30
    told = []
    report = evaluate(
        bench.model, data, STAGES, batch_size=30, n=80, resume=file,
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert told[0][1].done == 30
    assert told[0][0] > 0
    assert report.to_dict() | {"seconds": 0} == whole.to_dict() | {"seconds": 0}
    told.clear()
    again = evaluate(bench.model, data, STAGES, batch_size=30, n=80, resume=file)
    assert again.to_dict() | {"seconds": 0} == whole.to_dict() | {"seconds": 0}


@pytest.mark.parametrize(
    "other",
    [{"n": 79}, {"seed": 1}, {"batch_size": 31}, {"through": "layers"}, {"attack": FGSM(0.1)}],
)
def test_a_resume_with_other_settings_is_refused(bench, data, tmp_path, other):
    settings = {"attack": PGD(0.15, steps=2), "n": 80, "batch_size": 40, "resume": tmp_path / "f"}
    evaluate(bench.model, data, **settings)
    with pytest.raises(DataError, match="belongs to another evaluation"):
        evaluate(bench.model, data, **{**settings, **other})
    with pytest.raises(DataError, match="belongs to another evaluation"):
        evaluate(gx.load("digits-plain").model, data, **settings)
    (tmp_path / "f").write_text((tmp_path / "f").read_text()[:40])
    with pytest.raises(DataError, match="not an evaluation that can be continued"):
        evaluate(bench.model, data, **settings)


def test_out_of_memory_takes_half_and_says_so(bench, data):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = bench.model

        def forward(self, x):
            if len(x) > 25:
                raise torch.OutOfMemoryError("no room")
            return self.model(x)

    attack = PGD(0.15, steps=5)
    whole = evaluate(bench.model, data, attack, batch_size=90)
    report = evaluate(Small(), data, attack, batch_size=90)
    assert report.note == "out of memory: 23 images at a time instead of 90"
    assert np.array_equal(report.robust_mask, whole.robust_mask)
    assert whole.note is None

    class Tiny(nn.Module):
        def forward(self, _x):
            raise torch.OutOfMemoryError("no room at all")

    with pytest.raises(ModelError, match="not enough memory for a single image"):
        evaluate(Tiny(), data, attack)


@pytest.mark.parametrize(
    "words",
    [
        "MPS backend out of memory (MPS allocated: 5 GB)",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes",
    ],
)
def test_out_of_memory_on_other_devices(bench, data, words):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = bench.model

        def forward(self, x):
            if len(x) > 25:
                raise RuntimeError(words)
            return self.model(x)

    report = evaluate(Small(), data, FGSM(0.15), batch_size=90)
    assert report.note == "out of memory: 23 images at a time instead of 90"
    assert report.robust_correct == evaluate(bench.model, data, FGSM(0.15)).robust_correct

    class Broken(nn.Module):
        def forward(self, _x):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        evaluate(Broken(), data)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_verdicts_whatever_the_threads(bench, data):
    """In one batch of many values: small ones are computed by one thread anyway."""
    before = torch.get_num_threads()
    attack = gx.Staged([PGD(0.15, steps=10), Square(0.15, queries=20)])
    x, y = (part[:280] for part in bench.data)
    try:
        found = []
        for number in (1, 2, 1):
            torch.set_num_threads(number)
            found.append(evaluate(bench.model, (x, y), attack, batch_size=280))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert np.array_equal(other.robust_mask, found[0].robust_mask)
        assert other.stages == found[0].stages


def test_nothing_stands_and_nothing_is_asked_again(bench, data):
    wrong = data[0], (data[1] + 1) % 10
    report = evaluate(bench.model, wrong, STAGES, n=20)
    assert report.robust_correct <= report.clean_correct <= 2
    assert pgd.chunks(torch.zeros(4, dtype=torch.bool), 2) == ()
