"""The corrections of torchattacks 3.3, one by one."""

import pytest
import torch
from torch import nn

from gdws_explorer.robust.torchattacks_fixes import (
    DeterministicAPGD,
    DeterministicSquare,
    PerImageNoise,
    TargetedAPGD,
    TorchattacksAdapter,
    noise_per_image,
)


def test_the_scores_are_a_copy_and_the_gradient_is_contiguous():
    x = torch.rand(3, 4, 2, 2, requires_grad=True)
    assert TorchattacksAdapter(nn.Flatten())(x).data_ptr() != x.data_ptr()
    conv = nn.Conv2d(4, 4, 2).to(memory_format=torch.channels_last)
    model = nn.Sequential(conv, nn.Flatten())
    scores = TorchattacksAdapter(model)(x)
    (slope,) = torch.autograd.grad(scores.sum(), x)
    assert slope.is_contiguous()


def test_a_network_in_double_precision_takes_single_precision_images(net):
    scores = TorchattacksAdapter(net.double().eval())(torch.rand(2, 1, 8, 8))
    assert scores.dtype == torch.float32


def test_the_noise_of_an_image_does_not_depend_on_the_batch():
    images = torch.rand(5, 1, 3, 3)
    torch.manual_seed(7)
    whole = noise_per_image(torch.rand, images, images.shape)
    torch.manual_seed(7)
    assert torch.equal(noise_per_image(torch.rand, images[2:4], (2, 1, 3, 3)), whole[2:4])
    torch.manual_seed(8)
    assert not torch.equal(noise_per_image(torch.rand, images, images.shape), whole)


def test_only_the_first_noise_is_drawn_per_image():
    images = torch.rand(2, 1, 3, 3)
    torch.manual_seed(7)
    with PerImageNoise(images):
        first, second = torch.rand(images.shape), torch.rand(4)
    torch.manual_seed(7)
    assert torch.equal(first, noise_per_image(torch.rand, images, images.shape))
    assert torch.equal(second, torch.rand(4))


@pytest.mark.parametrize(
    "make",
    [
        lambda model: DeterministicAPGD(model, eps=0.1, steps=3),
        lambda model: DeterministicSquare(model, eps=0.1, n_queries=5),
        lambda model: TargetedAPGD(model, eps=0.1, steps=3),
    ],
    ids=["apgd", "square", "apgd-t"],
)
def test_the_first_try_of_an_image_is_the_same_alone_and_in_a_batch(net, data, make):
    """One image of each: its start depends on its pixels and the seed alone."""
    x, model = data[0][:4], TorchattacksAdapter(net.eval())
    y = model(x).argmax(1)  # images that are wrong already are not attacked
    starts = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.anchor = model.anchor

        def forward(self, images):
            starts.append(images.detach().clone())
            return model(images)

    for part in (slice(0, 4), slice(0, 1)):
        attack = make(Watching())
        attack.n_target_classes = 3
        attack.seed = 5
        starts.append(None)
        with torch.no_grad():
            attack(x[part], y[part])
    second = starts.index(None, 1)
    batch, alone = starts[1:second], starts[second + 1 :]
    noisy = next(i for i, images in enumerate(batch) if not torch.equal(images[:1], x[:1]))
    assert torch.equal(batch[noisy][:1], alone[noisy][:1])


def test_the_targeted_loss_is_equation_7():
    attack = TargetedAPGD(TorchattacksAdapter(nn.Flatten()))
    scores = torch.tensor([[4.0, 3.0, 1.0, 0.5, 0.0]])
    attack.target = torch.tensor([1])
    found = attack.dlr_loss(scores, torch.tensor([0]))
    assert found.item() == pytest.approx((3.0 - 4.0) / (4.0 - 0.5 * (1.0 + 0.5)))
