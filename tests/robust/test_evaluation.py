import json
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from gdws_explorer.errors import Cancelled, DataError, ModelError
from gdws_explorer.factorize import gdws, tucker
from gdws_explorer.robust import FGSM, PGD, Report, evaluate, pgd
from gdws_explorer.training import train
from gdws_explorer.utils.sampling import balanced_sample

ATTACK = PGD(0.1, steps=4)


class Failing(nn.Module):
    """Stops with an error at the k-th forward pass."""

    def __init__(self, inner, k):
        super().__init__()
        self.inner, self.k, self.calls = inner, k, 0

    def forward(self, x):
        self.calls += 1
        if self.calls >= self.k:
            raise RuntimeError("the model broke")
        return self.inner(x)


@pytest.fixture
def trained(net, data):
    return train(net.requires_grad_(), data, epochs=6, lr=0.05, batch_size=16)


def test_right_answers_are_counted(trained, data):
    x, y = data
    with torch.no_grad():
        right = (trained(x).argmax(1) == y).numpy()
    report = evaluate(trained, data, batch_size=7)
    assert 0.25 < report.clean == right.mean()
    assert np.array_equal(report.clean_mask, right)
    assert (report.n, report.robust, report.robust_interval) == (48, None, None)
    assert report.clean_interval[0] < report.clean <= report.clean_interval[1]


def test_verdicts_are_those_of_the_attacked_images(trained, data):
    x, y = data
    attack = FGSM(0.25)
    attacked = attack.bind(trained)(x, y)
    with torch.no_grad():
        both = (trained(x).argmax(1) == y) & (trained(attacked).argmax(1) == y)
    report = evaluate(trained, data, attack)
    assert np.array_equal(report.robust_mask, both.numpy())
    assert 0 < report.robust_correct < report.clean_correct


def test_an_image_missed_without_attack_is_not_robust(net, data):
    report = evaluate(net, data, ATTACK)  # untrained: many are missed
    assert report.clean < 0.9
    assert not (report.robust_mask & ~report.clean_mask).any()


def test_nothing_of_the_users_changes(net, data, trace, same):
    before = trace(net)
    evaluate(net, data, ATTACK)
    assert same(before, trace(net))


def test_nothing_changes_on_cancel(net, data, trace, same):
    before = trace(net)
    with pytest.raises(Cancelled):
        evaluate(net, data, ATTACK, cancel=iter([False] * 3 + [True]).__next__)
    assert same(before, trace(net))


def test_nothing_changes_when_the_model_breaks(net, data, trace, same):
    before = trace(net)
    with pytest.raises(RuntimeError, match="the model broke"):
        evaluate(Failing(net, 3), data, ATTACK)
    assert same(before, trace(net))


def test_the_trace_would_show_a_change(net, trace, same):
    before = trace(net)
    for change in (
        lambda: net.eval(),
        lambda: net[1].train(),
        lambda: net[1].running_mean.add_(1),
        lambda: net[4].weight.requires_grad_(True),
        lambda: torch.rand(1),
    ):
        change()
        assert not same(before, trace(net))
        before = trace(net)


def test_equal_seed_equal_verdicts(trained, data):
    attack = PGD(0.25, steps=1)
    masks = []
    for seed in (0, 0, 1, 2, 3, 4):
        torch.manual_seed(len(masks))  # whatever the user's generator is at
        masks.append(evaluate(trained, data, attack, seed=seed, batch_size=16).robust_mask)
    assert np.array_equal(masks[0], masks[1])
    assert any(not np.array_equal(masks[0], mask) for mask in masks[2:])


def test_every_plan_meets_the_same_noise(data, monkeypatch):
    """The noise may not depend on what an earlier batch made of the model, nor on who has left."""
    seen, real = [], pgd._start

    def noted(attack, x):
        seen.append(real(attack, x))
        return seen[-1]

    monkeypatch.setattr(pgd, "_start", noted)

    class Watching(nn.Module):
        def __init__(self, flip):
            super().__init__()
            self.linear = nn.Linear(64, 4)
            self.flip = flip

        def forward(self, x):
            return self.linear(x.flatten(1)) * (-1 if self.flip else 1)

    for flip in (False, True):
        evaluate(Watching(flip), data, PGD(0.1, steps=1), batch_size=16)
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert torch.equal(first, second)
    assert not torch.equal(first, data[0])


@pytest.mark.parametrize("how", ["event", "function"])
def test_cancel_answers_at_the_next_forward_pass(net, data, how):
    event = threading.Event()
    after = []

    def progress(fraction, partial):
        if event.is_set():
            after.append(fraction)
        if fraction > 0.3:
            event.set()

    with pytest.raises(Cancelled):
        evaluate(
            net,
            data,
            ATTACK,
            batch_size=8,
            progress=progress,
            cancel=event if how == "event" else event.is_set,
        )
    assert after == []


def test_progress_rises_to_the_end_with_what_is_known(net, data):
    told = []
    report = evaluate(net, data, ATTACK, batch_size=20, progress=lambda *what: told.append(what))
    fractions = [fraction for fraction, _ in told]
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert np.all(np.diff(fractions) > 0)
    assert 3 < len(told) <= 3 * 6 + 1  # three batches of clean and at most five passes; the end
    last = told[-1][1]
    assert (last.done, last.n) == (48, 48)
    assert (last.clean_correct, last.robust_correct) == (
        report.clean_correct,
        report.robust_correct,
    )
    assert {partial.done for _, partial in told} == {0, 20, 40, 48}


def test_a_sample_is_balanced_and_grows(data):
    labels = torch.cat([data[1], torch.zeros(30, dtype=torch.int64)])
    small, large = balanced_sample(labels, 8, 1), balanced_sample(labels, 20, 1)
    assert torch.equal(small, large[:8])
    assert labels[large].bincount().tolist() == [5, 5, 5, 5]
    assert sorted(balanced_sample(labels, None, 1).tolist()) == list(range(len(labels)))
    assert not torch.equal(small, balanced_sample(labels, 8, 2))


def test_n_measures_the_sample_in_the_order_of_the_data(trained, data):
    whole = evaluate(trained, data).clean_mask
    part = evaluate(trained, data, n=12, seed=4)
    assert part.n == 12
    assert np.array_equal(part.clean_mask, whole[np.sort(balanced_sample(data[1], 12, 4).numpy())])


def test_arrays_and_doubles_are_taken(trained, data):
    x, y = data
    report = evaluate(trained, (x.numpy().astype(np.float64), y.numpy().astype(np.uint8)), ATTACK)
    assert np.array_equal(report.robust_mask, evaluate(trained, data, ATTACK).robust_mask)


def test_works_inside_no_grad_and_inference_mode(trained, data):
    expected = evaluate(trained, data, ATTACK).robust_mask
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            inside = tuple(each.clone() for each in data)
            assert np.array_equal(evaluate(trained, inside, ATTACK).robust_mask, expected)


def test_a_model_without_parameters(data):
    class Corners(nn.Module):
        def forward(self, x):
            return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)

    assert evaluate(Corners(), data, PGD(0.01, 2)).robust == 1
    assert evaluate(Corners(), data, PGD(0.9, 5)).robust < 0.5


def test_nan_scores_count_as_wrong(data):
    class Broken(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :4] * float("nan")

    images, labels = data
    assert evaluate(Broken(), (images, torch.zeros_like(labels)), ATTACK).clean == 0


@pytest.mark.parametrize("family", ["gdws", "tucker2"])
def test_dense_kernel_and_real_layers_agree(trained, data, family):
    layer = trained[4]
    spectrum = gdws.spectrum(layer) if family == "gdws" else tucker.spectrum(layer)
    small = (
        spectrum.conv(spectrum.mego(20), like=layer)
        if family == "gdws"
        else spectrum.conv(4, 3, like=layer)
    )
    trained[4] = small
    dense = evaluate(trained, data, PGD(0.2, 10), through="dense")
    layers = evaluate(trained, data, PGD(0.2, 10), through="layers")
    assert np.array_equal(dense.clean_mask, layers.clean_mask)
    assert np.mean(dense.robust_mask != layers.robust_mask) <= 1 / 48
    assert (dense.through, layers.through) == ("dense", "layers")
    assert trained[4] is small


def test_through_layers_runs_the_layers_and_dense_does_not(trained, data, monkeypatch):
    trained[4] = gdws.spectrum(trained[4]).conv(torch.full((6,), 2), like=trained[4])
    calls = []
    forward = type(trained[4]).forward
    monkeypatch.setattr(
        type(trained[4]), "forward", lambda self, x: calls.append(1) or forward(self, x)
    )
    evaluate(trained, data)
    assert calls == []
    evaluate(trained, data, through="layers")
    assert calls


def test_report_round_trip_and_words(trained, data):
    report = evaluate(trained, data, PGD(8 / 255, 3))
    again = Report.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again == report
    assert np.array_equal(again.robust_mask, report.robust_mask)
    assert "PGD-3 ℓ∞ ε 8/255" in str(report)
    assert "n 48" in str(report)
    with pytest.raises(DataError, match="lacks 'n'"):
        Report.from_dict({key: value for key, value in report.to_dict().items() if key != "n"})


def _with(x, index, value):
    x = x.clone()
    x[index] = value
    return x


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (_with(x, (0, 0, 0, 0), float("nan")), y), "NaN"),
        (lambda x, y: (_with(x, (3, 0, 1, 1), float("inf")), y), "infinite"),
        (lambda x, y: (x * 255, y), r"reach from .* expected \[0, 1\]"),
        (lambda x, y: (x - 0.5, y), r"expected \[0, 1\]"),
        (lambda x, y: ((x * 255).to(torch.uint8), y), "divide 8-bit images by 255"),
        (lambda x, y: (x[0], y), "four dimensions"),
        (lambda x, y: (x[:0], y[:0]), "no images"),
        (lambda x, y: (x, y[:-1]), "labels have shape"),
        (lambda x, y: (x, y[:, None]), "labels have shape"),
        (lambda x, y: (x, y.float()), "whole numbers"),
        (lambda x, y: (x, y > 1), "whole numbers"),
        (lambda x, y: (x, y - 1), "from 0 up"),
        (lambda x, y: (x, y + 1), "the model has 4 classes"),
        (lambda x, y: (x, ["a"] * len(y)), "array of numbers"),
        (lambda x, y: x[:3], r"a pair|\(images, labels\)"),
        (lambda x, y: None, "pair"),
    ],
)
def test_bad_data_is_named(net, data, change, words):
    with pytest.raises(DataError, match=words):
        evaluate(net, change(*data), ATTACK)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, "from 1 to 48"),
        ({"n": 49}, "from 1 to 48"),
        ({"n": 2.5}, "from 1 to 48"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 0}, "batch_size"),
        ({"through": "gdws"}, "'dense' or 'layers'"),
        ({"attack": "PGD"}, "expected gx.FGSM"),
    ],
)
def test_bad_options_are_named(net, data, options, words):
    with pytest.raises(DataError, match=words):
        evaluate(net, data, **options)


def test_bad_models_are_named(net, data):
    with pytest.raises(ModelError, match=r"function; expected a torch.nn.Module"):
        evaluate(lambda x: x, data)
    with pytest.raises(ModelError, match="device 'nowhere'"):
        evaluate(net, data, device="nowhere")
    with pytest.raises(DataError, match="expected class scores"):
        evaluate(nn.Conv2d(1, 2, 3), data)
    net[4].weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"4\.weight holds NaN"):
        evaluate(net, data)


def test_small_images_take_one_thread_and_large_ones_the_users(data):
    seen = []

    class Counting(nn.Module):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return x.flatten(1)[:, :4]

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        evaluate(Counting(), data)
        evaluate(Counting(), (torch.rand(2, 1, 128, 128), data[1][:2]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1, 2, 2]  # each with a look at its first images


def test_an_attack_that_helps_by_accident_proves_nothing(data):
    class Contrary(nn.Module):
        def forward(self, x):
            moved = (x.detach() - 0.5).abs().flatten(1).sum(1) > 0
            one = moved.float() + 0 * x.flatten(1).sum(1)
            return torch.stack([0.5 + 0 * one, one], 1)

    images, ones = torch.full_like(data[0], 0.5), torch.ones_like(data[1])
    report = evaluate(Contrary(), (images, ones), ATTACK)
    assert (report.clean_correct, report.robust_correct) == (0, 0)
    assert evaluate(Contrary(), (images + 0.1, ones), ATTACK).robust == 1


def test_a_network_whose_weights_are_computed_is_measured_too(data):
    """copy.deepcopy refuses what the older weight norm and pruning leave on a module."""
    torch.manual_seed(0)
    first = nn.Conv2d(data[0].shape[1], 4, 3)
    prune.l1_unstructured(first, "weight", amount=0.5)
    model = nn.Sequential(first, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    model(data[0][:1])
    report = evaluate(model, data, ATTACK, n=12)
    assert report.n == 12
    assert report.robust_correct <= report.clean_correct
