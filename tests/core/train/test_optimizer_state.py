"""What is logged and counted of an optimizer."""

from types import SimpleNamespace

import torch

from swift_core.train.optimizer_state import optimizer_metrics, optimizer_state_bytes


def test_states_are_counted_in_bytes_and_shared_memory_once():
    param = torch.nn.Parameter(torch.zeros(10))
    optimizer = torch.optim.SGD([param], lr=0.1)
    arena = torch.zeros(20)
    optimizer.state[param] = {
        "first": arena[:10],
        "second": arena[10:],
        "codes": torch.zeros(10, dtype=torch.uint8),
        "n": 3,
    }
    assert optimizer_state_bytes(optimizer) == 80 + 10
    assert optimizer_state_bytes(SimpleNamespace(optimizer=optimizer)) == 90


def test_an_optimizer_without_metrics_logs_none_and_one_with_them_logs_its_own():
    assert optimizer_metrics(torch.optim.SGD([torch.zeros(1)], lr=0.1)) == {}
    assert optimizer_metrics(SimpleNamespace(optimizer=SimpleNamespace(metrics=lambda: {"gap": 2.0}))) == {"gap": 2.0}
