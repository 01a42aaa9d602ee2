import pytest
import torch

from swift_native import current_isa, select_isa


@pytest.fixture
def threads():
    """Return a function that sets torch's number of threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def isa():
    """Return a function that selects an instruction set until the test ends."""
    before = current_isa()
    yield select_isa
    select_isa(before)
