"""MACs of a forward pass against a count by hand, for what torch's own formulas leave out too."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gdws_explorer.network.mac_counter import MacCounter
from gdws_explorer.network.network import Network


def macs(model, *inputs):
    counter = MacCounter()
    with torch.no_grad(), counter:
        model.eval()(*inputs)
    return counter.macs


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_recurrent_layers(kind, gates, layers, bidirectional, batch_first):
    steps, batch, inside, hidden = 7, 2, 12, 8
    directions = 1 + bidirectional
    model = kind(inside, hidden, layers, bidirectional=bidirectional, batch_first=batch_first)
    x = torch.rand(steps, batch, inside)
    widths = [inside] + [hidden * directions] * (layers - 1)
    per_step = sum(directions * gates * hidden * (width + hidden) for width in widths)
    x = x.transpose(0, 1) if batch_first else x
    assert macs(model, x) == steps * batch * per_step


def test_a_projected_lstm():
    model = nn.LSTM(12, 8, proj_size=4)
    by_hand = 4 * 8 * (12 + 4) + 8 * 4
    assert macs(model, torch.rand(7, 2, 12)) == 7 * 2 * by_hand


@pytest.mark.parametrize(
    ("model", "x", "by_hand"),
    [
        (nn.Conv2d(4, 6, 3, groups=2), torch.rand(1, 4, 8, 8), 6 * 2 * 9 * 36),
        (nn.ConvTranspose2d(4, 6, 3), torch.rand(1, 4, 8, 8), 4 * 6 * 9 * 64),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), torch.rand(1, 4, 8, 8), 4 * 3 * 9 * 64),
        (nn.Conv1d(4, 6, 3, dilation=2), torch.rand(1, 4, 12), 6 * 4 * 3 * 8),
        (nn.Conv3d(2, 3, 3), torch.rand(1, 2, 5, 5, 5), 3 * 2 * 27 * 27),
        (nn.Linear(5, 7), torch.rand(3, 5), 3 * 35),
        (nn.Upsample(scale_factor=2, mode="bilinear"), torch.rand(1, 2, 4, 4), 0),
    ],
)
def test_layers(model, x, by_hand):
    assert macs(model, x) == by_hand


def test_a_network_with_a_recurrent_part_has_all_its_macs():
    class CRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.rnn = nn.LSTM(8 * 16, 32, batch_first=True, bidirectional=True)
            self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
            self.fc = nn.Linear(64, 5)

        def forward(self, x):
            x = F.relu(self.b(F.relu(self.a(x)))).permute(0, 3, 1, 2).flatten(2)
            x = self.rnn(x)[0]
            x = self.attention(x, x, x, need_weights=False)[0]
            return self.fc(x[:, -1])

    net = Network(CRNN().eval(), torch.rand(1, 1, 16, 32))
    convolutions = sum(layer.macs for layer in net.layers if layer.in_size)
    recurrent = 2 * 32 * 4 * (128 * 32 + 32 * 32)
    attention = 32 * 64 * 64 * 4 + 2 * 32 * 32 * 64
    assert net.macs == convolutions + recurrent + attention + 64 * 5


CASES = {
    "convolution": (lambda x: F.conv2d(x, torch.ones(4, 3, 3, 3)), 4 * 27 * 36),
    "stride and groups": (lambda x: F.conv2d(x, torch.ones(6, 1, 2, 2), None, 2, 0, 1, 3), 24 * 16),
    "matrix product": (lambda x: x.flatten(1) @ torch.ones(192, 5), 192 * 5),
    "linear": (lambda x: F.linear(x.flatten(1), torch.ones(7, 192)), 192 * 7),
    "batched": (lambda x: torch.bmm(x[0], x[0].mT), 3 * 8 * 8 * 8),
    "elementwise": (lambda x: torch.relu(x) + x, 0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_macs_of_functions(case, mode):
    function, macs = CASES[case]
    x = torch.ones(1, 3, 8, 8)
    with mode(), MacCounter() as counter:
        function(x)
    assert counter.macs == macs


def test_a_model_has_the_macs_that_torch_counts(resnet, images, flops):
    with torch.no_grad(), MacCounter() as counter:
        resnet(images[:1])
    assert counter.macs == flops(resnet, images)


def test_it_counts_on(images):
    conv = nn.Conv2d(3, 2, 1)
    with torch.no_grad(), MacCounter() as counter:
        conv(images)
        conv(images)
    assert counter.macs == 2 * 2 * 3 * 64 * len(images)


# -- operations that no rule counts --------------------------------------------------------------


class By(nn.Module):
    """A function of an image's features and a weight."""

    def __init__(self, function, weight=None):
        super().__init__()
        self.function, self.weight = function, None if weight is None else nn.Parameter(weight)

    def forward(self, x):
        return self.function(x, self.weight)


def opened(function, *shape):
    weight = torch.rand(*shape) if shape else None
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(By(function, weight)))
    net = Network(model, torch.rand(1, 3, 6, 6))
    return net, net.macs - 3 * 4 * 36


ROWS = 4 * 5 * 36  # 36 positions, 4 channels to 5
COUNTED = {
    "matmul": (lambda x, w: x.flatten(2).mT @ w, (4, 5), ROWS),
    "einsum": (lambda x, w: torch.einsum("nchw,cm->nmhw", x, w), (4, 5), ROWS),
    "bmm": (lambda x, w: torch.bmm(x.flatten(2).mT, w[None]), (4, 5), ROWS),
    "linear": (lambda x, w: F.linear(x.flatten(2).mT, w), (5, 4), ROWS),
    "tensordot": (lambda x, w: torch.tensordot(x, w, ([1], [0])), (4, 5), ROWS),
    "a vector": (lambda x, w: x.flatten(2).mT @ w, (4,), 4 * 36),
    "dot": (lambda x, w: torch.dot(x.flatten(), w), (144,), 144),
    "addmv": (lambda x, w: torch.addmv(torch.zeros(36), x[0].flatten(1).mT, w), (4,), 4 * 36),
    "a scale": (lambda x, w: x * w, (4, 1, 1), 0),
    "an offset": (lambda x, w: x + w, (4, 6, 6), 0),
    "pooling": (lambda x, _: F.avg_pool2d(x, 2), (), 0),
    "interpolation": (lambda x, _: F.interpolate(x, scale_factor=2), (), 0),
    "a norm": (lambda x, _: F.normalize(x), (), 0),
    "BatchNorm": (lambda x, _: F.batch_norm(x, None, None, training=True), (), 0),
}


@pytest.mark.parametrize("case", COUNTED)
def test_functional_operations_are_counted(case):
    function, shape, macs = COUNTED[case]
    net, found = opened(function, *shape)
    assert found == macs
    assert net.uncounted == ()
    assert net.summary(net.plan()).uncounted == ()


UNCOUNTED = {
    "_fft_r2c": (lambda x, w: torch.fft.irfft2(torch.fft.rfft2(x) * w), (4, 1, 1)),
    "_trilinear": (lambda x, w: F.bilinear(x[..., 0, 0], x[..., 0, 0], w), (5, 4, 4)),
    "mul": (lambda x, w: (x.flatten(2).mT[..., None] * w).sum(-2), (4, 5)),
    "addbmm": (lambda x, w: torch.addbmm(torch.zeros(36, 5), x.flatten(2).mT, w[None]), (4, 5)),
    "dist": (lambda x, w: torch.cdist(x.flatten(2).mT, w), (5, 4)),
    "linalg": (lambda x, w: torch.linalg.solve(w, x.flatten(2)), (4, 4)),
}


@pytest.mark.parametrize("operation", UNCOUNTED)
def test_other_operations_are_named_with_their_module(operation):
    function, shape = UNCOUNTED[operation]
    net, found = opened(function, *shape)
    assert found == 0
    ((name, what),) = [each.split(" ") for each in net.uncounted]
    assert name == "1.0"
    assert operation in what
    assert net.summary(net.plan()).uncounted == net.uncounted


def test_operators_of_other_packages_are_named():
    with torch.library._scoped_library("wrapped_for_tests", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: 2 * x, "CPU")
        net, _ = opened(lambda x, _: torch.ops.wrapped_for_tests.twice(x))
    assert net.uncounted == ("1.0 (wrapped_for_tests.twice)",)
