"""α and calibrations against plain loops over images and classes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gdws_explorer.errors import Cancelled, DataError, ModelError, PlanError
from gdws_explorer.factorize.conv import patches
from gdws_explorer.network.calibration.alpha import MARGIN, block_squares, compute_alpha
from gdws_explorer.network.calibration.calibrate import Calibration, calibrate
from gdws_explorer.network.calibration.margins import LayerActivations, margin_gradients
from gdws_explorer.robust import FGSM


class Small(nn.Module):
    """Groups, strides, odd kernels, another padding mode, a layer called twice, work in place."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.twice = nn.Conv2d(6, 6, (1, 3), padding="same", groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.circular = nn.Conv2d(6, 8, (2, 3), 2, (1, 2), (1, 2), padding_mode="circular")
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.point = nn.Conv2d(8, 4, 1)
        self.unused = nn.Conv2d(4, 4, 3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        x = F.relu(self.first(x), inplace=True)
        x = self.norm(self.twice(x))
        x = F.relu(self.twice(x) + x)
        x = F.relu(self.depthwise(self.circular(x)), inplace=True)
        return self.head(self.drop(self.point(x)).mean((2, 3)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Small()
    with torch.no_grad():  # running statistics that are not 0 and 1
        model(torch.rand(16, 2, 9, 8))
        model.head.weight.mul_(8)
    return model


@pytest.fixture
def x():
    return torch.rand(5, 2, 9, 8, generator=torch.Generator().manual_seed(1))


def plain_alpha(model, x, floor=MARGIN):
    """Eq. 8, image by image and class by class."""
    model.eval()
    convs = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    found = {name: torch.zeros(conv.in_channels).double() for name, conv in convs.items()}
    for image in x:
        scores = model(image[None])[0]
        top = int(scores.argmax())
        for j in set(range(len(scores))) - {top}:
            model.zero_grad()
            margin = (lambda z, j=j: z[top] - z[j])(model(image[None])[0])
            margin.backward()
            share = 1 / (2 * max(margin.item(), floor) ** 2)
            for name, conv in convs.items():
                if conv.weight.grad is not None:
                    found[name] += share * by_channel(conv, conv.weight.grad) / len(x)
    return found


def by_channel(conv, gradient):
    """Mean squared gradient of every input channel's block, `(C,)`."""
    groups = gradient.double().reshape(conv.groups, -1, *gradient.shape[1:])
    size = groups[0, :, 0].numel()
    return groups.square().sum((1, 3, 4)).flatten() / size


@pytest.mark.parametrize("floor", [1e-6, 0.5])
@pytest.mark.parametrize("batch_size", [2, 32])
def test_alpha_is_the_plain_loops(model, x, floor, batch_size):
    plain = plain_alpha(model, x, floor)
    ours = compute_alpha(model, x, n=None, margin_floor=floor, batch_size=batch_size)
    assert set(ours) == set(plain) - {"unused"}
    for name, weights in ours.items():
        torch.testing.assert_close(weights, plain[name], rtol=1e-4, atol=0)


@pytest.mark.parametrize("memory", [1, 1 << 26])
def test_memory_bounds_change_nothing(model, x, memory):
    model.eval().requires_grad_(False)
    layers = {"twice": model.twice, "point": model.point}
    (whole,) = margin_gradients(model, x, layers, 0.1)
    parts = dict.fromkeys(layers, 0)
    for met in margin_gradients(model, x, layers, 0.1, memory=memory):
        for name, seen in met.items():
            parts[name] = parts[name] + block_squares(seen, memory)
    for name, seen in whole.items():
        torch.testing.assert_close(parts[name], block_squares(seen), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("size", [2, 12])  # few positions: Gram matrices; many: the gradient
def test_both_ways_to_the_squares_agree_with_the_gradient(size):
    conv = nn.Conv2d(16, 8, 3, padding=1)
    x, g = torch.randn(3, 16, size, size), torch.randn(3, 5, 8, size, size)
    squares = block_squares(LayerActivations(conv, [x], [], [list(g.unbind(1))]))
    for image in range(3):
        columns = patches(conv, x[image : image + 1])[0].double()  # (C, K², P)
        gradient = torch.einsum("jmp,ckp->jmck", g[image].flatten(2).double(), columns)
        exact = gradient.square().sum((0, 1, 3))
        torch.testing.assert_close(squares[image], exact, rtol=1e-5, atol=0)


def test_attacked_alpha_is_that_of_the_attacked_images(model, x):
    class Shifted:
        def bind(self, model):
            return lambda x, y: (x + 0.1 * (y[:, None, None, None] + 1)).clamp(0, 1)

    model.eval()
    moved = Shifted().bind(model)(x, model(x).argmax(1))
    ours = compute_alpha(model, x, Shifted(), n=None)
    for name, weights in compute_alpha(model, moved, n=None).items():
        torch.testing.assert_close(ours[name], weights)
    attacked = compute_alpha(model, (x, torch.zeros(5).long()), FGSM(0.1), names=["first"])
    assert list(attacked) == ["first"]
    assert not torch.equal(attacked["first"], compute_alpha(model, x, n=None)["first"])


def test_the_model_and_the_random_state_stay_as_they_were(model, x):
    model.train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        compute_alpha(model, x, FGSM(0.1))
        calibrate(model, x, attack=FGSM(0.1))
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert not model.first._forward_hooks


def test_progress_cancel_and_refusals(model, x):
    seen = []
    compute_alpha(model, x, n=None, batch_size=2, progress=seen.append)
    assert seen == [0.4, 0.8, 1.0]
    with pytest.raises(Cancelled):
        compute_alpha(model, x, cancel=lambda: True)
    with pytest.raises(PlanError, match="head"):
        compute_alpha(model, x, names=["head"])
    with pytest.raises(DataError, match="margin_floor"):
        compute_alpha(model, x, margin_floor=0)
    with pytest.raises(DataError, match="labels"):
        compute_alpha(model, (x, torch.zeros(3)))
    with pytest.raises(ModelError, match="scores"):
        compute_alpha(nn.Conv2d(2, 2, 3), x)


# -- calibrations -------------------------------------------------------------------------


def test_moments_are_those_of_plain_patches(model, x):
    found = calibrate(model, x, batch_size=2)
    assert found.n == 5
    assert "unused" not in found.layers
    seen = []
    model.eval().circular.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    model(x)
    columns = patches(model.circular, seen[0]).double()
    for c in range(6):
        plain = sum(image @ image.T for image in columns[:, c]) / 5
        torch.testing.assert_close(found["circular"].patches[c], plain, rtol=1e-5, atol=1e-9)
    moments = found["circular"]
    channels = seen[0].transpose(0, 1).flatten(1).double()
    plain = channels @ channels.T
    scale = moments.patches.diagonal(dim1=1, dim2=2).sum() / plain.trace()
    torch.testing.assert_close(moments.inputs, plain * scale, rtol=1e-5, atol=1e-9)
    assert float(moments.kronecker[1].trace()) == pytest.approx(1)


def test_sensitivity_is_the_mean_squared_gradient_at_the_output(model, x):
    model.eval()
    total = 0.0
    for image in x:
        scores = model(image[None])[0]
        order = scores.argsort(descending=True)
        for j in order[1:]:
            outputs = []
            hook = model.circular.register_forward_hook(lambda m, i, out, o=outputs: o.append(out))
            scores = model(image[None])[0]
            hook.remove()
            margin = scores[order[0]] - scores[j]
            (g,) = torch.autograd.grad(margin, outputs)
            total += float(g.square().mean()) / (2 * max(margin.item(), MARGIN) ** 2) / 5
    found = calibrate(model, x)
    assert found["circular"].sensitivity == pytest.approx(total, rel=1e-4)
    places = found["circular"].positions
    assert places == outputs[0][0, 0].numel()
    assert found.weights["circular"] == found["circular"].sensitivity * places


def test_a_saved_calibration_comes_back(model, x, tmp_path):
    found = calibrate(model, x, attack=FGSM(0.1), cache=tmp_path / "calibration.safetensors")
    again = Calibration.load(tmp_path / "calibration.safetensors")
    assert (again.n, again.fingerprint, again.settings) == (5, found.fingerprint, found.settings)
    assert list(again.layers) == list(found.layers)
    for name, moments in found.layers.items():
        assert torch.equal(again[name].patches, moments.patches)
        assert torch.equal(again[name].inputs, moments.inputs)
        assert torch.equal(again[name].gradients, moments.gradients)
        assert again[name].positions == moments.positions


def test_a_cache_answers_only_for_itself_and_is_rebuilt_when_damaged(model, x, tmp_path):
    path = tmp_path / "calibration.safetensors"
    first = calibrate(model, x, cache=path)
    calls = []
    assert calibrate(model, x, cache=path, progress=calls.append).fingerprint == first.fingerprint
    assert not calls  # read, not made
    other = calibrate(model, x * 0.5, cache=path, progress=calls.append)
    assert calls
    assert other.fingerprint != first.fingerprint
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="calibrate again"):
        Calibration.load(path)
    assert calibrate(model, x, cache=path).fingerprint == first.fingerprint
    assert Calibration.load(path).fingerprint == first.fingerprint
    with pytest.raises(DataError, match="no layer 'nothing'"):
        first["nothing"]


def test_calibrating_can_be_cancelled(model, x):
    with pytest.raises(Cancelled):
        calibrate(model, x, cancel=lambda: True)


def test_no_layer_to_measure_and_layers_called_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3)

        def forward(self, x):
            return self.conv(input=x).mean((2, 3))

    net, x = Named(), torch.rand(5, 2, 9, 8)
    assert compute_alpha(net, x, names=[]) == {}
    assert calibrate(net, x, names=[]).layers == {}
    torch.testing.assert_close(
        compute_alpha(net, x)["conv"], plain_alpha(net, x)["conv"], rtol=1e-4, atol=0
    )
