"""Four identities, tried on generated networks: whatever a network is made of, no answer is wrong.

`GDWS_FUZZ_EXAMPLES=5000` tries that many networks, other ones at every call.
"""

import functools
import os
import random
import re
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._export.utils
import torch.onnx._internal.exporter._registration
from generated_networks import Case, networks
from hypothesis import HealthCheck, Phase, given, settings
from plain_ways import clean_and_attacked, macs_of, rounding_of
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import gdws_explorer as gx
from gdws_explorer.errors import ExplorerError
from gdws_explorer.network.dense_view import DenseView
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.surgery import densify
from gdws_explorer.utils.sampling import balanced_sample

EXAMPLES = int(os.environ.get("GDWS_FUZZ_EXAMPLES", "0"))
QUICK, MANY = 15, 200
HALF = (torch.float16, torch.bfloat16)
DONE = Counter()  # what was tried


def settings_of(examples):
    """The same networks at every call, unless their number is given."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # the networks are small; making them smaller takes minutes
        suppress_health_check=list(HealthCheck),
    )


# What may be refused: the operation, the case, and the beginning of a reason.
EXPECTED = (
    ("export", lambda case: case.dtype in (torch.float64, torch.bfloat16), "the network is torch."),
    ("export", lambda case: says(case, "channels") or says(case, "reshape"), "len.x. and int"),
    ("export", lambda case: says(case, "without heads"), "scaled_dot_product_attention"),
    ("export", lambda case: has(case, "AdaptiveMaxPool2d"), "adaptive_max_pool2d"),
    ("export", lambda case: has(case, "AdaptiveAvgPool2d"), "adaptive_avg_pool2d"),
    ("attack", lambda case: "no gradient" in case.words, "changes numbers in place"),
)


def says(case, way):
    """Whether a part of the network computes in this way."""
    return any(getattr(module, "way", None) == way for module in case.model.modules())


def has(case, kind):
    """Whether the network has a module of this class."""
    return any(type(module).__name__ == kind for module in case.model.modules())


def attempt(case, operation, work):
    """Returns the result of `work`, or None where it is refused for an expected reason."""
    try:
        return work()
    except ExplorerError as error:
        for name, fits, reason in EXPECTED:
            if name == operation and fits(case) and re.search(reason, str(error)):
                return None
        raise


def check(case: Case) -> None:
    """Checks one network."""
    DONE["all"] += 1
    before = {name: value.clone() for name, value in case.model.state_dict().items()}
    modes = [module.training for module in case.model.modules()]
    net = attempt(case, "open", lambda: gx.Network(case.model, case.images, skip=()))
    if net is not None:
        check_macs(case, net)
        check_full_rank(case, net)
        check_plan(case, net)
        if case.seed % 4 == 0 and "no gradient" not in case.words:
            check_from_images(case, net)
    check_accuracy(case, case.model, "dense")
    after = case.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert modes == [module.training for module in case.model.modules()]


def check_macs(case, net):
    """MACs ≡ a count by hand, and torch's own count where it has all formulas."""
    image = case.images[:1].to(case.dtype)
    assert net.macs == macs_of(case.plain, image)
    assert net.params == sum(p.numel() for p in case.plain.parameters())
    if not any(isinstance(module, nn.RNNBase) for module in case.plain.modules()):
        assert net.macs == flops_of(case, image) // 2


def flops_of(case, image):
    """Torch's own count, with attention by plain matrix products."""
    counter = FlopCounterMode(display=False)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        case.scores(case.plain, image)
    torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


def check_full_rank(case, net):
    """Every offered layer at full rank, in each of its families ≡ the network."""
    expected = case.scores(case.model, case.images)
    limit = rounding_of(net.model, case.images, expected)
    for name in FAMILIES:
        layers = [layer for layer in net.layers if name in layer.families]
        full = {each.name: full_rank(net, each, name) for each in layers}
        built = net.build(net.plan(full))
        assert sum(type(m).__name__ in FACTORISED for m in built.modules()) == len(layers)
        difference = (case.scores(built, case.images) - expected).abs().max()
        assert difference <= limit, f"{name}: {difference} > {limit}"


FACTORISED = ("GDWSConv2d", "Tucker2Conv2d", "SVDConv2d", "SVDLinear", "SpatialSVDConv2d")


def check_plan(case, net):
    """A plan of any ranks: costs ≡ counts, its dense forms and its exported file ≡ its network."""
    plan = some_plan(case, net)
    summary, built = net.summary(plan), net.build(plan)
    image = case.images[:1].to(case.dtype)
    assert summary.macs == macs_of(built, image)
    assert summary.params == sum(p.numel() for p in built.parameters())
    tensors = [*built.parameters(), *built.buffers()]
    assert summary.bytes == sum(t.numel() * t.element_size() for t in tensors)
    scores = case.scores(built, case.images)
    limit = rounding_of(built, case.images, scores)
    for other in (densify(built), DenseView(net).show(net, plan)):
        assert (case.scores(other, case.images) - scores).abs().max() <= limit
    check_accuracy(case, built, "layers")
    if case.seed % 3 == 0:
        attempt(case, "export", lambda: check_export(case, built, plan, limit))


def check_from_images(case, net):
    """What is measured on images is measured on this network, however it reads its tensors."""
    expected = case.scores(case.model, case.images)
    limit = rounding_of(net.model, case.images, expected)
    data = case.images, case.labels
    if not any(layer.in_size for layer in offered(net)):
        with pytest.raises(ExplorerError, match=r"measure convolutions .* network has none"):
            net.alpha(*data)
    else:
        alpha = net.alpha(*data)
        assert alpha
        assert all(torch.isfinite(each).all() for each in alpha.values())
        view = net.calibrated(net.calibrate(*data, gx.FGSM(0.1)))
        full = {each.name: full_rank(view, each, each.families[0]) for each in offered(view)}
        difference = (case.scores(view.build(view.plan(full)), case.images) - expected).abs().max()
        assert difference <= 10 * limit, f"calibrated: {difference} > {limit}"
    plan = some_plan(case, net)
    built = attempt(case, "refit", lambda: net.build(plan, refit=case.images))
    report = getattr(built, "refit_report", None)
    constant = torch.equal(expected, expected[:1].expand_as(expected))  # no share of a variance
    if report is not None and case.dtype not in HALF and not constant:
        assert report.lost == pytest.approx(lost(case, built), rel=1e-2, abs=1e-6)
        assert report.lost_otherwise is None or report.lost <= report.lost_otherwise


def lost(case, model):
    """The squared error of a network's scores, as a share of their variance."""
    expected = case.scores(case.model, case.images).double()
    error = (case.scores(model, case.images).double() - expected).square().sum()
    variance = (expected - expected.mean(0)).square().sum()
    return float(error / variance) if variance else float(error)


def offered(net):
    """The layers that some family can replace."""
    return [layer for layer in net.layers if layer.families]


def full_rank(net, layer, name):
    """The choice of a family that is exact."""
    family = FAMILIES[name]
    return family.choice(*family.most(net.spectrum(layer.name, name)))


def check_export(case, built, plan, limit):
    """The exported ONNX file ≡ the network in torch, for as many images as it was not tried on."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    images = case.images[:7].to(case.dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = gx.export(built, plan, Path(folder) / "exported")
        session = onnxruntime.InferenceSession(path / "model.onnx", options)
        (found,) = session.run(None, {"images": images.numpy()})
    expected = case.scores(built, images).numpy()
    assert found.dtype == expected.dtype
    room = 5e-2 if case.dtype in HALF else 1e-3
    assert np.abs(found - expected).max() <= limit + room * np.abs(expected).max()
    DONE["exported"] += 1


def some_plan(case, net):
    """Random choices, of random ranks, for most layers."""
    draw = random.Random(case.seed)
    choices = {}
    for layer in offered(net):
        if draw.random() < 0.8:
            name = draw.choice(layer.families)
            family = FAMILIES[name]
            most = family.most(net.spectrum(layer.name, name))
            choices[layer.name] = family.choice(*(draw.randint(1, each) for each in most))
    return net.plan(choices)


def check_accuracy(case, model, through):
    """Accuracies ≡ those of a plain loop, image by image."""
    eps, batch = 0.1, 4
    attack, data = gx.FGSM(eps), (case.images, case.labels)

    def measure():
        return gx.evaluate(model, data, attack, batch_size=batch, through=through)

    report = attempt(case, "attack", measure)
    if report is None:
        attack = None
        report = measure()
    plain = case.plain if model is case.model else model
    order = balanced_sample(case.labels, None, seed=0)  # of a batch, where it matters
    images, labels = case.images[order].to(case.dtype), case.labels[order]
    clean, robust = clean_and_attacked(plain, images, labels, eps if attack else None, batch)
    back = torch.argsort(order)
    assert report.clean_mask.tolist() == clean[back].tolist()
    if attack is not None and case.dtype not in HALF:  # whose images attacks keep in float32
        assert report.robust_mask.tolist() == robust[back].tolist()


@contextmanager
def quick_exports():
    """Keeps torch's tables of operations, which it would make anew for every file: 1 s each."""
    registry = torch.onnx._internal.exporter._registration.ONNXRegistry
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in [
            (registry, "from_torchlib"),
            (torch._export.utils, "_collect_all_valid_cia_ops_for_namespace"),
        ]:
            if hasattr(owner, name):  # of another torch, it is slower without
                patch.setattr(owner, name, staticmethod(functools.cache(getattr(owner, name))))
        yield


@pytest.fixture(autouse=True, scope="module")
def _one_thread_and_quick_exports():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with quick_exports():
        yield
    torch.set_num_threads(before)


@settings_of(QUICK)
@given(networks())
def test_generated_networks(case):
    check(case)


@pytest.mark.slow
def test_many_generated_networks():
    @settings_of(MANY)
    @given(networks())
    def all_networks(case):
        check(case)

    DONE.clear()
    all_networks()
    assert DONE["exported"] >= DONE["all"] / 4
