"""A hypothesis strategy of small networks, with images, labels and what is special about each."""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager

import torch
from generated_blocks import Chain, Wrapped
from generated_stages import MOST_CHANNELS, STAGES, Draw, head
from hypothesis import strategies as st
from torch import Tensor, nn

MOST_STAGES, MOST_PIXELS, IMAGES = 7, 12, 10
DTYPES = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
CHAINS = ("sequential", "list", "dict", "nested")
WRAPPERS = (
    *("sequential", "parallel", "average", "compiled", "normalised", "flipped", "log", "forward"),
)


class Case:
    """A network, in the mode and the type in which it is given away, and what to try it on.

    images : `(N, C, H, W)` in [0, 1], float32. labels : mostly the network's own answers. words :
    what the representation of the modules does not say. seed : of everything else.
    """

    def __init__(self, model: nn.Module, images: Tensor, seed: int, words: set[str]) -> None:
        self.model, self.images, self.seed = model, images, seed
        self.plain = getattr(model, "_orig_mod", model)  # compiling takes seconds
        self.dtype = next(model.parameters()).dtype
        self.words = words | _gradient(self)
        scores = self.scores(self.plain, images).float()
        random = torch.randint(scores.shape[1], (len(images),))
        self.labels = torch.where(torch.rand(len(images)) < 0.8, scores.argmax(1), random)

    def __repr__(self) -> str:
        shape = tuple(self.images.shape)
        return f"seed {self.seed}, {self.dtype}, {shape}, {sorted(self.words)}\n{self.model}"

    def scores(self, model: nn.Module, images: Tensor) -> Tensor:
        """Returns the scores of a model in eval mode, whatever mode it is in."""
        model = self.plain if model is self.model else model
        with eval_mode(model), torch.no_grad():
            return model(images.to(self.dtype).clone())


@contextmanager
def eval_mode(model: nn.Module):
    """A context that gives every module of a model its mode back."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@st.composite
def networks(draw: st.DrawFn) -> Case:
    """Draws a network of at most eight stages and a head, for images of at most 12 × 12 pixels.

    The seed decides on everything that hypothesis need not make smaller.
    """
    stages = draw(st.integers(0, 2**MOST_STAGES - 1))  # which of them are there, as bits
    dtype = getattr(torch, draw(st.sampled_from(DTYPES)))
    chain = draw(st.sampled_from(CHAINS))
    wrapper = draw(st.sampled_from(("none", *WRAPPERS))) if draw(st.booleans()) else "none"
    seed = draw(st.integers(0, 2**24 - 1))
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the old weight norm
        torch.manual_seed(seed)
        random = Draw(seed)
        images = torch.rand(
            IMAGES, random.randint(1, 3), random.randint(5, 12), random.randint(5, 12)
        )
        modules, words = _modules(seed, stages, images)
        model = nn.Sequential(*modules) if chain == "sequential" else Chain(modules, chain)
        _train(model)
        model = model.to(dtype if _takes(model, images, dtype) else torch.float32)
        if random.flag():
            next(model.parameters()).requires_grad_(False)
        model.train(random.flag())
        model = _wrapped(model, wrapper).to(next(model.parameters()).dtype)
        return Case(model, images, seed, words | {chain, wrapper})


def _modules(seed: int, bits: int, images: Tensor) -> tuple[list[nn.Module], set[str]]:
    """Returns stages that fit one after the other, and a head; the first is a convolution."""
    x, stages, words = images, [], set()
    for place in range(MOST_STAGES + 1):
        if place and not bits >> (place - 1) & 1:
            continue
        draw = Draw(f"{seed} {place}")
        name = draw.choice(tuple(STAGES)) if place else "convolution"
        out = None
        for _ in range(1 if place else 20):  # no network without a convolution
            if out is None:
                stage = STAGES[name](draw, *x.shape[1:])
                out = _passed(stage, x)
        if out is not None:
            stages.append(stage)
            words.add(name)
            x = out
    return [*stages, head(Draw(f"{seed} head"), x)], words


def _passed(stage: nn.Module, x: Tensor) -> Tensor | None:
    """Returns the stage's output, None where it does not fit or grows too large."""
    with eval_mode(stage), torch.no_grad():
        try:
            out = stage(x.clone())
        except (RuntimeError, ValueError):
            return None
    fits = out.ndim == 4 and out.numel() and out.shape[1] <= MOST_CHANNELS
    fits = fits and max(out.shape[2:]) <= MOST_PIXELS and bool(torch.isfinite(out).all())
    return out if fits else None


def _train(model: nn.Module) -> None:
    """Gives every norm statistics and scales as training leaves them, negative ones too."""
    with torch.no_grad():
        for module in model.modules():
            if getattr(module, "running_var", None) is not None:
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.3, 2)
            if isinstance(module, nn.BatchNorm2d | nn.GroupNorm) and module.affine:
                module.weight.uniform_(-0.5, 1.5)
                module.bias.normal_(0, 0.2)


def _takes(model: nn.Module, images: Tensor, dtype: torch.dtype) -> bool:
    """Whether torch itself computes this network in a type."""
    try:
        mine = copy.deepcopy(model).to(dtype).eval()
        with torch.no_grad():
            return bool(torch.isfinite(mine(images.to(dtype))).all())
    except RuntimeError:  # some functions have no half precision, the old weight norm no copy
        return False


def _gradient(case: Case) -> set[str]:
    """Returns the word for networks that torch gives no gradient, as in-place operations may."""
    images = case.images.clone().requires_grad_()
    try:
        with eval_mode(case.plain):
            torch.autograd.grad(case.plain(images.to(case.dtype)).float().sum(), images)
    except RuntimeError:
        return {"no gradient"}
    return set()


def _wrapped(model: nn.Module, way: str) -> nn.Module:
    makers = {
        "none": lambda: model,
        "sequential": lambda: nn.Sequential(model),
        "parallel": lambda: nn.DataParallel(model),
        "average": lambda: torch.optim.swa_utils.AveragedModel(model),
        "compiled": lambda: torch.compile(model),
    }
    return makers.get(way, lambda: Wrapped(model, way))()
