"""The stages of generated networks, with random settings.

Each function takes `draw`, channels, height and width of what comes in, and returns a module. Not
every module fits every input.
"""

from __future__ import annotations

import random

from generated_blocks import (
    FUNCTIONS,
    RESIDUAL_KINDS,
    Attention,
    Concat,
    Function,
    Gate,
    Head,
    LastAxis,
    Lines,
    OwnWeight,
    Read,
    Recurrent,
    ResidualBlock,
    Twice,
    Volume,
)
from torch import nn
from torch.nn.utils import parametrizations

MOST_CHANNELS = 16
MODES = ("zeros", "zeros", "zeros", "reflect", "replicate", "circular")


class Draw(random.Random):
    """A seeded source of settings."""

    def flag(self) -> bool:
        """Returns True half of the time."""
        return self.random() < 0.5


# Each takes `draw`, channels, height and width, and returns a module, or None where none fits.


def _divisor(draw, *numbers):
    """A number that divides all of these."""
    return draw.choice([n for n in (1, 2, 3, 4, 8) if not any(m % n for m in numbers)])


def _conv(draw, channels, height, width):
    kernel = draw.choice([1, 2, 3, 3, 3, 5, (1, 3), (3, 1), (3, 2), (2, 5)])
    stride = draw.choice([1, 1, 1, 2, (1, 2), (2, 1)])
    padding = draw.choice([1, 1, 0, 2, (0, 1), (2, 1), "same", "valid"])
    dilation = draw.choice([1, 1, 1, 2, (2, 1)])
    out = draw.randint(1, MOST_CHANNELS)
    groups = draw.choice(["one", "one", "some", "depthwise"])
    if groups == "depthwise":
        groups, out = channels, channels * max(1, min(out // channels, 2))
    else:
        groups = 1 if groups == "one" else _divisor(draw, channels, out)
    stride = 1 if padding == "same" else stride
    bias, mode = draw.flag(), draw.choice(MODES)
    return nn.Conv2d(
        channels, out, kernel, stride, padding, dilation, groups, bias=bias, padding_mode=mode
    )


def _transposed(draw, channels, height, width):
    stride = draw.randint(1, 2)
    extra = draw.randint(0, stride - 1)
    out = draw.randint(1, 8)
    groups = _divisor(draw, channels, out)
    return nn.ConvTranspose2d(
        channels, out, draw.randint(1, 3), stride, 0, extra, groups, draw.flag()
    )


def _norm(draw, channels, height, width):
    affine = draw.flag()
    kind = draw.choice(["batch", "batch", "group", "layer", "instance", "local"])
    if kind == "batch":
        tracked = draw.randint(0, 7) > 0
        return nn.BatchNorm2d(channels, affine=affine, track_running_stats=tracked)
    if kind == "group":
        return nn.GroupNorm(_divisor(draw, channels), channels, affine=affine)
    if kind == "layer":
        return nn.LayerNorm([channels, height, width], elementwise_affine=affine)
    if kind == "local":
        return nn.LocalResponseNorm(3)
    tracked = height * width == 1 or draw.flag()
    return nn.InstanceNorm2d(channels, affine=affine, track_running_stats=tracked)


def _activation(draw, channels, height, width):
    inplace = draw.flag()
    kinds = [nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid]
    plain = [nn.GELU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.PReLU, nn.Softsign, nn.Identity]
    kind = draw.choice([*kinds, *plain])
    return kind(inplace=inplace) if kind in kinds else kind()


def _pool(draw, channels, height, width):
    size, stride = draw.randint(2, 3), draw.randint(1, 2)
    padding, ceil = draw.randint(0, 1), draw.flag()
    kind = draw.choice(["max", "average", "adaptive", "adaptive max", "power"])
    if kind == "max":
        return nn.MaxPool2d(size, stride, padding, ceil_mode=ceil)
    if kind == "average":
        return nn.AvgPool2d(size, stride, padding, ceil, count_include_pad=draw.flag())
    if kind == "power":
        return nn.LPPool2d(2, size, stride, ceil)
    kinds = {"adaptive": nn.AdaptiveAvgPool2d, "adaptive max": nn.AdaptiveMaxPool2d}
    return kinds[kind](draw.choice([(3, 2), (None, 3), 4, 1]))


def _dropout(draw, channels, height, width):
    kind = draw.choice([nn.Dropout, nn.Dropout2d, nn.AlphaDropout])
    return kind(0.4, inplace=draw.flag())


def _layout(draw, channels, height, width):
    made = [nn.Upsample(scale_factor=2), nn.Upsample((5, 7), mode="bilinear"), nn.ZeroPad2d(1)]
    made += [nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.ReflectionPad2d(1)]
    return draw.choice(made)


def _function(draw, channels, height, width):
    return Function(draw.choice(tuple(FUNCTIONS)))


def residual(draw, channels, inplace, turned):
    """Returns a residual block of any kind, written in this way."""
    kind = draw.choice(RESIDUAL_KINDS)
    norm, read_twice, pooled = (draw.random() < p for p in (0.7, 0.5, 0.5))
    return ResidualBlock(channels, kind, norm, read_twice, pooled, inplace, turned)


def _residual(draw, channels, height, width):
    return residual(draw, channels, draw.flag(), draw.flag())


def _concat(draw, channels, height, width):
    branches = [
        nn.Sequential(
            nn.Conv2d(channels, draw.randint(1, 5), draw.choice([1, 3]),
                      padding="same", bias=draw.flag()),
            _activation(draw, channels, height, width),
        )
        for _ in range(draw.randint(1, 2))
    ]  # fmt: skip
    return Concat(branches, draw.flag())


def _gate(draw, channels, height, width):
    return Gate(channels, draw.randint(1, 3), draw.flag())


def _lines(draw, channels, height, width):
    return Lines(nn.Conv1d(channels, draw.randint(1, 8), 3, padding=1, bias=draw.flag()))


def _volume(draw, channels, height, width):
    out, bias = draw.randint(1, 8), draw.flag()
    return Volume(nn.Conv3d(channels, out, (1, 3, 3), padding=(0, 1, 1), bias=bias))


def _twice(draw, channels, height, width):
    first = nn.Conv2d(channels, channels, 3, padding=1)
    way = draw.choice(["same", "tied", "tied bias"])
    second = first if way == "same" else nn.Conv2d(channels, channels, 3, padding=1)
    if way == "tied":
        second.weight = first.weight
    if way == "tied bias":
        second.bias = first.bias
    return Twice(first, second, draw.flag())


def _last_axis(draw, channels, height, width):
    return LastAxis(channels, draw.randint(1, 12))


def _attention(draw, channels, height, width):
    return Attention(channels, draw.choice(["module", "function", "without heads", "products"]))


def _recurrent(draw, channels, height, width):
    kind = draw.choice([nn.GRU, nn.LSTM, nn.RNN])
    return Recurrent(kind, channels, draw.randint(1, 6), draw.flag())


def _own_weight(draw, channels, height, width):
    return OwnWeight(channels, draw.randint(1, 8), draw.choice(["conv", "einsum"]))


def _read(draw, channels, height, width):
    ways = ["channels", "dtype", "weight", "class", "hasattr", "list", "keyword", "forward"]
    conv = nn.Conv2d(channels, draw.randint(2, 8), 3, padding=1, bias=draw.flag())
    return Read(conv, draw.choice(ways))


def _reparametrized(draw, channels, height, width):
    conv = nn.Conv2d(channels, draw.randint(2, 8), 3, padding=1)
    ways = [nn.utils.weight_norm, parametrizations.weight_norm, parametrizations.spectral_norm]
    return draw.choice(ways)(conv)


def _hooked(draw, channels, height, width):
    conv = nn.Conv2d(channels, draw.randint(2, 8), 3, padding=1)
    place = draw.choice(["after", "before", "around"])
    if place == "after":
        conv.register_forward_hook(_doubled)
        return conv
    if place == "before":
        conv.register_forward_pre_hook(_shifted)
        return conv
    around = nn.Sequential(conv, nn.ReLU())
    around.register_forward_hook(_doubled)
    return around


def _doubled(_module, _inputs, out):
    return 2 * out


def _shifted(_module, inputs):
    return (inputs[0] + 0.1,)


STAGES = {
    "convolution": _conv, "convolution again": _conv, "convolution once more": _conv,
    "norm": _norm, "norm again": _norm, "activation": _activation,
    "activation again": _activation, "pool": _pool, "dropout": _dropout, "layout": _layout,
    "function": _function, "residual": _residual, "residual again": _residual,
    "concat": _concat, "gate": _gate, "transposed": _transposed, "lines": _lines,
    "volume": _volume, "twice": _twice, "last axis": _last_axis, "attention": _attention,
    "recurrent": _recurrent, "own weight": _own_weight, "read": _read,
    "reparametrized": _reparametrized, "hooked": _hooked,
}  # fmt: skip


def head(draw, x):
    """Draws the way from images to rows, and one or two linear layers, or a 1×1 convolution."""
    channels, height, width = x.shape[1:]
    classes = draw.randint(2, 5)
    size = channels * height * width
    way = draw.choice(["view", "numbers", "reshape", "flatten", "mean", "mean_twice", "max", "pool",
                        "squeeze", "convolution"])  # fmt: skip
    if way == "convolution":
        return nn.Sequential(nn.Conv2d(channels, classes, 1), Head("mean", [], 0))
    if way in ("view", "numbers") and not x.is_contiguous():  # torch itself would refuse it
        way = "reshape"
    rows = size if way in ("view", "numbers", "reshape", "flatten") else channels
    layers = []
    if draw.flag():
        layers = [
            nn.Linear(rows, 8, bias=draw.flag()),
            nn.ReLU(inplace=draw.flag()),
            nn.Dropout(0.2),
        ]
    return Head(way, [*layers, nn.Linear(8 if layers else rows, classes)], rows)
