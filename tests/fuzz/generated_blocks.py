"""Parts of generated networks that are more than one module of torch: blocks, reads, functions.

A module whose forward method computes sums of products itself says how many in `own_macs`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RESIDUAL_KINDS = (
    *("post", "pre", "act_branch", "double", "shared", "broadcast", "layer_scale", "plain"),
)


class ResidualBlock(nn.Module):
    """A residual block of one kind; `inplace` and `turned` write the same function otherwise."""

    def __init__(self, channels, kind, norm, read_twice, pooled, inplace=False, turned=False):
        super().__init__()
        self.kind, self.read_twice, self.pooled = kind, read_twice, pooled
        self.inplace, self.turned = inplace, turned
        make = nn.BatchNorm2d if norm else lambda _channels: nn.Identity()
        self.a, self.b = (nn.Conv2d(channels, channels, 3, padding=1, bias=not norm) for _ in "ab")
        self.c = nn.Conv2d(channels, channels, 1 if pooled else 3, padding="same")
        self.norm_a, self.norm_b, self.norm_c = (make(channels) for _ in "abc")

    def extra_repr(self):
        return (
            f"{self.kind}, read_twice={self.read_twice}, pooled={self.pooled}, "
            f"inplace={self.inplace}, turned={self.turned}"
        )

    def act(self, x):
        return F.relu(x, inplace=self.inplace)

    def add(self, x, y):
        if self.inplace and not self.turned:
            y += x  # as torchvision's blocks do
            return y
        return y + x if self.turned else x + y

    def forward(self, x):
        if self.kind == "post":
            return self.act(self.add(x, self.norm_b(self.b(self.act(self.norm_a(self.a(x)))))))
        if self.kind == "pre":
            y = self.b(F.relu(self.norm_b(self.a(F.relu(self.norm_a(x))))))
            return self.add(x, y)
        if self.kind == "act_branch":
            return self.add(x, self.act(self.norm_a(self.a(x))))
        if self.kind == "double":
            return F.relu(self.add(self.norm_a(self.a(x)), self.norm_c(self.c(x))))
        if self.kind == "shared":  # MobileNetV2: y is added, and was read before
            y = self.norm_a(self.a(x))
            return F.relu(self.add(y, self.norm_b(self.b(F.relu(y) if self.read_twice else y))))
        if self.kind == "broadcast":
            y = self.c(x.mean((2, 3), keepdim=True) if self.pooled else x)
            return F.relu(x + y)
        if self.kind == "layer_scale":
            return F.relu(self.add(x, 0.5 * self.norm_a(self.a(x))))
        return F.relu(self.norm_a(self.a(x)))


class Concat(nn.Module):
    """Branches side by side, along the channels."""

    def __init__(self, branches, keep):
        super().__init__()
        self.branches, self.keep = nn.ModuleList(branches), keep

    def forward(self, x):
        found = [branch(x) for branch in self.branches]
        return torch.cat([x, *found] if self.keep else found, 1)


class Gate(nn.Module):
    """Squeeze and excitation: channels scaled by what the whole image shows."""

    def __init__(self, channels, hidden, linear):
        super().__init__()
        self.linear = linear
        make = nn.Linear if linear else lambda i, o: nn.Conv2d(i, o, 1)
        self.down, self.up = make(channels, hidden), make(hidden, channels)

    def forward(self, x):
        pooled = x.mean((2, 3)) if self.linear else F.adaptive_avg_pool2d(x, 1)
        scale = torch.sigmoid(self.up(F.relu(self.down(pooled))))
        return x * (scale[:, :, None, None] if self.linear else scale)


class Function(nn.Module):
    """A function of the tensor, without weights, by its name in FUNCTIONS."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def extra_repr(self):
        return self.name

    def forward(self, x):
        return FUNCTIONS[self.name](self, x)


def _shuffled(_module, x):
    n, channels, height, width = x.shape
    return x.view(n, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)


FUNCTIONS = {
    "relu": lambda _m, x: F.relu(x),
    "relu_": lambda _m, x: torch.relu_(x),
    "inplace": lambda _m, x: F.leaky_relu(x, 0.1, inplace=True),
    "clamp_": lambda _m, x: x.clamp_(min=-0.5),
    "scaled_": lambda _m, x: x.mul_(0.5).add_(0.1),
    "silu": lambda _m, x: x * torch.sigmoid(x),
    "dropout": lambda m, x: F.dropout(x, 0.3, training=m.training),
    "max_pool": lambda _m, x: F.max_pool2d(x, 2),
    "up": lambda _m, x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda _m, x: F.interpolate(x, (6, 5), mode="bilinear", align_corners=False),
    "pad": lambda _m, x: F.pad(x, (1, 0, 2, 1), mode="reflect"),
    "shuffle": _shuffled,
    "turned": lambda _m, x: x.transpose(2, 3),
    "half": lambda _m, x: x.chunk(2, 1)[0],
    "slice": lambda _m, x: x[:, :, 1:, ::2],
    "roll": lambda _m, x: torch.roll(x, 1, 2),
    "normalised": lambda _m, x: F.normalize(x, dim=1),
    "standardised": lambda _m, x: F.layer_norm(x, x.shape[1:]),
    "squared": lambda _m, x: x * x.mean((2, 3), keepdim=True),
    "out_of_layout": lambda _m, x: x.contiguous(memory_format=torch.channels_last),
}


class Lines(nn.Module):
    """A convolution along the pixels in their order, `(N, C, H·W)`."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return self.conv(x.flatten(2)).view(x.shape[0], -1, *x.shape[2:])


class Volume(nn.Module):
    """A 3-D convolution of images of depth one."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return self.conv(x.unsqueeze(2)).flatten(1, 2)


class Twice(nn.Module):
    """One module that is called twice, or two whose weights are one parameter."""

    def __init__(self, first, second, add):
        super().__init__()
        self.first, self.second, self.add = first, second, add

    def forward(self, x):
        y = self.second(F.relu(self.first(x)))
        return x + y if self.add else y


class LastAxis(nn.Module):
    """ConvNeXt's way: LayerNorm and linear layers along the last axis."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x):
        y = self.down(F.gelu(self.up(self.norm(x.permute(0, 2, 3, 1)))))
        return x + y.permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Attention between pixels: by matrix products, torch's function or torch's module."""

    def __init__(self, channels, way):
        super().__init__()
        self.way = way
        if way == "module":
            self.attention = nn.MultiheadAttention(channels, 1, batch_first=True)
        else:
            self.qkv = nn.Linear(channels, 3 * channels, bias=False)
            self.out = nn.Linear(channels, channels)

    def extra_repr(self):
        return self.way

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        if self.way == "module":
            found = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        else:
            q, k, v = self.qkv(tokens).chunk(3, -1)
            if self.way == "function":
                heads = (each[:, None] for each in (q, k, v))
                found = self.out(F.scaled_dot_product_attention(*heads)[:, 0])
            elif self.way == "without heads":
                found = self.out(F.scaled_dot_product_attention(q, k, v))
            else:
                scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
                found = self.out(torch.matmul(scores.softmax(-1), v))
        return x + found.transpose(1, 2).reshape(x.shape)

    def own_macs(self, x: Tensor, _out: Tensor) -> int:
        """Queries by keys and weights by values; with torch's module its projections too."""
        n, channels, height, width = x.shape
        pixels = height * width
        macs = 2 * pixels * pixels * channels
        return n * (macs + (4 * pixels * channels**2 if self.way == "module" else 0))


class Recurrent(nn.Module):
    """A recurrent layer along the rows of pixels."""

    def __init__(self, kind, channels, hidden, both):
        super().__init__()
        self.rnn = kind(channels, hidden, batch_first=True, bidirectional=both)

    def forward(self, x):
        n, _, height, width = x.shape
        y = self.rnn(x.flatten(2).transpose(1, 2))[0]
        return y.transpose(1, 2).reshape(n, -1, height, width)


class OwnWeight(nn.Module):
    """A convolution by torch's function, with a parameter of its own, or as an einsum."""

    def __init__(self, channels, out, way):
        super().__init__()
        self.way = way
        kernel = (1, 1) if way == "einsum" else (3, 3)
        self.weight = nn.Parameter(torch.randn(out, channels, *kernel) / (3 * channels) ** 0.5)

    def extra_repr(self):
        return self.way

    def forward(self, x):
        if self.way == "einsum":
            return torch.einsum("nchw,oc->nohw", x, self.weight[:, :, 0, 0])
        return F.conv2d(x, self.weight, padding=1)

    def own_macs(self, _x: Tensor, out: Tensor) -> int:
        """Every number of the output is a sum over one filter; of one number it is no sum."""
        terms = self.weight[0].numel()
        return 0 if self.way == "einsum" and terms == 1 else out.numel() * terms


class Read(nn.Module):
    """A convolution that is not only called: `way` says what is read of it."""

    def __init__(self, conv, way):
        super().__init__()
        self.conv, self.way = conv, way
        self.plain = [conv] if way == "list" else []  # torch does not see this second reference

    def extra_repr(self):
        return self.way

    def forward(self, x):
        if self.way == "channels":
            y = self.conv(x)
            return y.view(len(x), self.conv.out_channels, *y.shape[2:])
        if self.way == "dtype":
            return self.conv(x.to(self.conv.weight.dtype))
        if self.way == "weight":
            return self.conv(x) + self.conv.weight.mean()
        if self.way == "class":
            y = self.conv(x)
            return y if isinstance(self.conv, nn.Conv2d) else -y
        if self.way == "hasattr":
            y = self.conv(x)
            return y if getattr(self.conv, "weight", None) is not None else 2 * y
        if self.way == "list":
            return self.plain[0](x)
        if self.way == "keyword":
            return self.conv(input=x)
        return self.conv.forward(x)  # "forward": past the hooks

    def own_macs(self, _x: Tensor, out: Tensor) -> int:
        """Every number of the output is a sum over one filter, if the layer is not called."""
        return out.numel() * self.conv.weight[0].numel() if self.way == "forward" else 0


class Head(nn.Module):
    """From images to class scores: `way` says how they become rows."""

    def __init__(self, way, layers, size):
        super().__init__()
        self.way, self.size = way, size
        self.layers = nn.Sequential(*layers)

    def extra_repr(self):
        return f"{self.way}, {self.size}"

    def forward(self, x):
        rows = {
            "view": lambda: x.view(x.size(0), -1),
            "numbers": lambda: x.view(-1, self.size),
            "reshape": lambda: x.reshape(len(x), -1),
            "flatten": lambda: torch.flatten(x, 1),
            "mean": lambda: x.mean((2, 3)),
            "mean_twice": lambda: x.mean(3).mean(2),
            "max": lambda: x.amax((2, 3)),
            "pool": lambda: F.adaptive_avg_pool2d(x, 1).flatten(1),
            "squeeze": lambda: F.avg_pool2d(x, x.shape[2:]).squeeze(3).squeeze(2),
        }
        return self.layers(rows[self.way]())


class Chain(nn.Module):
    """Stages one after the other, kept in a list, in a dictionary, or one inside the other."""

    def __init__(self, stages, way):
        super().__init__()
        self.way = way
        if way == "list":
            self.stages = nn.ModuleList(stages)
        elif way == "dict":
            names = ["conv 1", "größe", "weight_", "0", "module", "bias", "x-y", "a/b", "%20"]
            self.stages = nn.ModuleDict(
                {names[k] if k < len(names) else f"stage{k}": s for k, s in enumerate(stages)}
            )
        else:
            self.first = stages[0]
            self.rest = Chain(stages[1:], way) if len(stages) > 1 else nn.Identity()

    def forward(self, x):
        if self.way == "nested":
            return self.rest(self.first(x))
        for stage in self.stages.values() if self.way == "dict" else self.stages:
            x = stage(x)
        return x


class Wrapped(nn.Module):
    """A network inside another module that prepares its images or joins its answers."""

    def __init__(self, net, way):
        super().__init__()
        self.net, self.way = net, way
        self.register_buffer("mean", torch.tensor(0.45), persistent=way != "normalised")

    def extra_repr(self):
        return self.way

    def forward(self, x):
        if self.way == "normalised":
            return self.net((x - self.mean.to(x)) / 0.25)
        if self.way == "flipped":
            return self.net(x) + self.net(x.flip(3))
        if self.way == "log":
            return F.log_softmax(self.net(x), 1)
        return self.net.forward(x)
