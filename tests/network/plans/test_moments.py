import torch

from gdws_explorer.network.plans.moments import Moments


def moments(patches):
    gradients = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
    return Moments(patches, torch.eye(len(patches)), gradients, positions=4, output=1.0)


def test_sensitivity_is_the_mean_of_the_diagonal():
    assert moments(torch.ones(2, 4, 4)).sensitivity == 2.0


def test_the_kronecker_form_is_exact_where_channels_share_their_space():
    root = torch.randn(4, 4, dtype=torch.float64)
    space = root @ root.T
    x = torch.randn(3, 9, dtype=torch.float64)
    channels = x @ x.T
    whole = torch.kron(channels, space)  # the moment of the whole patch
    patches = torch.stack([whole[4 * c : 4 * c + 4, 4 * c : 4 * c + 4] for c in range(3)])
    found = Moments(patches, channels * space.trace(), torch.eye(2), 1, 1.0).kronecker
    torch.testing.assert_close(torch.kron(*found), whole)
    torch.testing.assert_close(found[1].trace(), torch.tensor(1.0, dtype=torch.float64))


def test_inputs_of_zeros():
    _, space = moments(torch.zeros(2, 4, 4)).kronecker
    torch.testing.assert_close(space, torch.eye(4).double() / 4)
