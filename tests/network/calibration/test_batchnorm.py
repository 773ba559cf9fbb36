"""BatchNorm statistics of all images, for every kind of BatchNorm and every batch size."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.network.calibration.batchnorm import reestimate_batchnorm


class Net(nn.Module):
    """BatchNorm of two and of one dimension; with `gated`, one behind a global pooling."""

    def __init__(self, gated=False):
        super().__init__()
        self.a, self.bn, self.b = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3)
        self.gate = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)) if gated else None
        self.flat, self.fc = nn.BatchNorm1d(8), nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.b(F.relu(self.bn(self.a(x)))))
        if self.gate is not None:
            x = x * self.gate(x.mean((2, 3), keepdim=True))
        return self.fc(self.flat(x.mean((2, 3))))


@pytest.fixture
def images():
    x = torch.rand(129, 3, 10, 10)
    x[-1] = 0  # a black picture, alone in the last batch of 128
    return x


def check(model, fitted, x):
    """Every norm of `fitted` has the mean and variance of what it sees."""
    seen = {}
    for name, module in fitted.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(
                lambda _m, inputs, name=name: seen.update({name: inputs[0].double()})
            )
    fitted(x)
    assert seen
    for name, values in seen.items():
        norm, old = fitted.get_submodule(name), model.get_submodule(name)
        channels = values.transpose(0, 1).flatten(1)
        means, variances = channels.mean(1), channels.var(1)
        torch.testing.assert_close(norm.running_mean.double(), means, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(norm.running_var.double(), variances, rtol=1e-4, atol=1e-7)
        assert not torch.equal(norm.running_mean, old.running_mean)
        assert norm.momentum == old.momentum


@pytest.mark.parametrize("batch_size", [1, 50, 128, 500])
@pytest.mark.parametrize("gated", [False, True])
def test_the_statistics_are_those_of_all_images(images, gated, batch_size):
    model = Net(gated).eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    x = images[:20] if batch_size == 1 else images
    fitted = reestimate_batchnorm(model, x, batch_size=batch_size)
    check(model, fitted, x)
    assert not fitted.training
    assert all(p.requires_grad for p in fitted.parameters())
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_synchronised_norms_too(images):
    model = nn.SyncBatchNorm.convert_sync_batchnorm(Net()).eval()
    check(model, reestimate_batchnorm(model, images), images)


def test_norms_that_keep_no_statistics_stay(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    reestimate_batchnorm(model, images)


def test_a_large_mean_does_not_hide_the_variance():
    model = nn.Sequential(nn.BatchNorm2d(1)).eval()
    x = 1e4 + torch.rand(300, 1, 4, 4)
    fitted = reestimate_batchnorm(model, x)
    assert float(fitted[0].running_var) == pytest.approx(float(x.double().var()), rel=1e-3)


def test_one_value_per_channel_is_refused(images):
    with pytest.raises(DataError, match=r"gate\.1 sees one value per channel"):
        reestimate_batchnorm(Net(gated=True).eval(), images[:1])


def test_a_norm_whose_statistics_are_read_is_named(images):
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            norm = self.bn
            return F.batch_norm(self.conv(x), norm.running_mean, norm.running_var)

    with pytest.raises(ModelError, match="reads the statistics of bn without calling"):
        reestimate_batchnorm(Reads().eval(), images)


def test_a_norm_with_a_hook_gets_what_the_hook_makes(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    model[1].register_forward_pre_hook(lambda _m, inputs: (inputs[0] + 1,))
    fitted = reestimate_batchnorm(model, images)
    expected = model[0](images).mean((0, 2, 3)) + 1
    torch.testing.assert_close(fitted[1].running_mean, expected, rtol=1e-4, atol=1e-5)
