import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_seed():
    """Tiny matrices want one thread; every test starts from the same random state."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(before)
