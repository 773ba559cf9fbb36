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
