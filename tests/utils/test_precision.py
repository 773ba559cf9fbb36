"""Images and scores stay in float32 or float64 around a network of any floating type."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gdws_explorer.errors import ModelError
from gdws_explorer.utils.devices import as_images, as_input, dtype_of
from gdws_explorer.utils.precision import (
    CastingModel,
    check_finite,
    gradients_needed,
    in_single,
    overflow_error,
    scores_of,
)

TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def small():
    """A network of two convolutions, `(N, 3, 8, 8)` to 5 scores."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.Flatten(), nn.Linear(96, 5)
        ).requires_grad_(False)


class Scaled(nn.Module):
    """Multiplies the scores of a network."""

    def __init__(self, net, factor):
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x):
        return self.net(x) * self.factor


class WithAutocast(nn.Module):
    """A float32 network that computes in its own autocast; `back` : its scores are float32."""

    def __init__(self, net, dtype, back=False):
        super().__init__()
        self.net, self.dtype, self.back = net, dtype, back

    def forward(self, x):
        with torch.autocast("cpu", self.dtype):
            scores = self.net(x)
        return scores.float() if self.back else scores


class ToHalf(nn.Module):
    """A network in half precision that converts its input itself."""

    def __init__(self, net):
        super().__init__()
        self.net = net.half()

    def forward(self, x):
        return self.net(x.half())


@pytest.mark.parametrize("dtype", TYPES)
def test_images_are_rounded_where_they_enter_the_network(dtype):
    model, x = small().to(dtype), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    assert as_images(model, x).dtype == exact
    taken = as_input(model, x)
    assert taken.dtype == dtype
    scores = scores_of(model, as_images(model, x))
    assert scores.dtype == exact
    torch.testing.assert_close(scores, model(taken).to(exact))


def test_the_type_is_that_of_the_first_weight_with_rows():
    class Anchored(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.net = nn.Parameter(torch.ones(())), small().half()

    assert dtype_of(Anchored()) == torch.float16
    norm_first = nn.Sequential(nn.BatchNorm2d(3), small().half())
    assert dtype_of(norm_first) == torch.float16
    assert dtype_of(nn.BatchNorm2d(3).double()) == torch.float64
    assert dtype_of(nn.ReLU()) == torch.float32


def test_a_forward_that_works_in_place_changes_only_its_copy():
    class Centred(nn.Module):
        def forward(self, x):
            return x.sub_(0.5).flatten(1)

    x = torch.rand(2, 3, 8, 8)
    before = x.clone()
    scores_of(Centred(), x)
    CastingModel(Centred())(x.clone().requires_grad_()).sum().backward()
    assert torch.equal(x, before)
    assert not torch.equal(as_input(Centred(), x).zero_(), x)


@pytest.mark.parametrize("kind", ["weights", "autocast", "autocast, float32 scores", "own cast"])
def test_float16_gives_the_gradient_of_a_sure_answer(kind):
    model = small()
    scaled = Scaled(model, 600.0)
    twin = {
        "weights": lambda: Scaled(copy.deepcopy(model).half(), 600.0),
        "autocast": lambda: WithAutocast(scaled, torch.float16),
        "autocast, float32 scores": lambda: WithAutocast(scaled, torch.float16, back=True),
        "own cast": lambda: ToHalf(copy.deepcopy(scaled)),
    }[kind]()
    x = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    y = scaled(x).argmax(1)

    def slope(net):
        at = x.clone().requires_grad_()
        loss = F.cross_entropy(net(at), y, reduction="none")
        mean = loss.sum() / 1e4  # as the mean of a large batch
        return torch.autograd.grad(mean, at)[0].flatten(1), loss

    exact, loss = slope(scaled)
    sure = (loss < 1e-5) & (exact.abs().amax(1) > 0)
    assert sure.any()
    ours, _ = slope(CastingModel(twin))
    alike = F.cosine_similarity(1e20 * ours, 1e20 * exact)[sure]
    assert float(alike.median()) > 0.99
    assert float(alike.min()) > 0.8  # rounding of the scores changes which class comes second
    raw, _ = slope(lambda at: scores_of(twin, at))
    assert not raw[sure].any()  # without the scaling it is lost


def test_the_scaling_leaves_every_image_its_own_gradient():
    torch.manual_seed(0)
    model, x = small().half(), torch.rand(4, 3, 8, 8)
    weights = torch.tensor([1.0, 1e-6, 0.0, 1e4])

    def slope(net):
        at = x.clone().requires_grad_()
        return torch.autograd.grad((net(at).sum(1) * weights).sum(), at)[0]

    ours, exact = slope(CastingModel(model)), slope(copy.deepcopy(model).float())
    size = exact.flatten(1).norm(dim=1)
    difference = (ours - exact).flatten(1).norm(dim=1)
    assert (difference <= 0.01 * size).all()
    assert not ours[2].any()


def test_there_is_one_casting_model_around_a_network():
    casting = CastingModel(small())
    assert CastingModel.of(nn.Sequential(casting))[0] is casting
    assert isinstance(CastingModel.of(small()), CastingModel)


def test_a_half_network_is_copied_in_float32_where_it_works_so():
    x = torch.rand(2, 3, 8, 8)
    half = small().half()
    wide = in_single(half, x)
    assert dtype_of(wide) == torch.float32
    assert dtype_of(half) == torch.float16
    torch.testing.assert_close(wide(x), small()(x), atol=1e-2, rtol=0)
    for kept in (small(), small().double(), ToHalf(small())):
        assert in_single(kept, x) is kept


def test_the_layer_that_overflows_is_named():
    model, x = small().half(), torch.rand(2, 3, 8, 8)
    model[0].weight.mul_(1e2)
    model[2].weight.mul_(1e5)
    assert "float16" in str(overflow_error(model, x))
    assert str(overflow_error(model, x)).startswith("2 has infinite")
    casting = CastingModel(model)
    assert not torch.isfinite(casting(x)).all()
    assert casting.overflow == str(overflow_error(model, x))
    after = nn.Sequential(Scaled(small().half(), 1e6), nn.Identity())
    assert str(overflow_error(after, x)).startswith("the input of 1 has")
    assert "end of the forward" in str(overflow_error(Scaled(small().half(), 1e6), x))
    check_finite("conv", torch.ones(2), dtype=torch.float16)
    with pytest.raises(ModelError, match=r"conv has infinite.*float16.*bfloat16"):
        check_finite("conv", torch.tensor([1.0, float("inf")]), dtype=torch.float16)
    with pytest.raises(ModelError, match=r"conv has infinite.*float32; check"):
        check_finite("conv", torch.tensor([float("nan")]), dtype=torch.float32)


def test_scores_without_a_gradient_are_refused_only_where_one_is_computed():
    class NoGrad(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small()

        @torch.no_grad()
        def forward(self, x):
            return self.net(x)

    model, x = NoGrad(), torch.rand(2, 3, 8, 8)
    scores_of(model, x)  # no gradient of anything is computed
    with torch.no_grad():
        scores_of(model, x.clone().requires_grad_())
    with pytest.raises(ModelError, match="carry no gradient"):
        scores_of(model, x.clone().requires_grad_())
    model.requires_grad_(True)
    with pytest.raises(ModelError, match="carry no gradient"):
        scores_of(model, x)


def test_an_operation_that_torch_lacks_in_half_precision_is_named():
    model = nn.Sequential(nn.LocalResponseNorm(2), small()).half()
    with pytest.raises(ModelError, match=r"cannot be run in torch.float16.*not implemented"):
        scores_of(model, torch.rand(2, 3, 8, 8))


def test_an_output_that_is_no_tensor_is_returned_as_it_is():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    assert isinstance(CastingModel(Pair())(torch.rand(1, 1)), tuple)
    counts = CastingModel(nn.Sequential())(torch.ones(2, 2, dtype=torch.int64))
    assert counts.dtype == torch.int64


def test_numbers_changed_in_place_that_a_gradient_needs_are_named():
    x = torch.rand(3, requires_grad=True)
    says = "changes numbers in place .* without inplace=True"
    with pytest.raises(ModelError, match=says), gradients_needed():
        x.sigmoid().mul_(2).sum().backward()
