"""Labelled completions with given log-probabilities."""

import itertools

import pytest
import torch

from swift_core.testing.outputs import given_unpaired

VALUES = ("logps", "reference_logps", "kl_logps", "reference_kl_logps")


def outputs(rows, dtype=torch.float64):
    """Return outputs with a leaf for `logps`, and the leaf; a row is (desirable, pi, ref, pi of kl, ref of kl)."""
    columns = torch.tensor([row[1:] for row in rows], dtype=dtype).T
    values = dict(zip(VALUES, columns, strict=True))
    leaf = values["logps"].clone().requires_grad_()
    return given_unpaired(desirable=torch.tensor([row[0] for row in rows]), **{**values, "logps": leaf}), leaf


def try_extremes(loss):
    """Fail unless value and gradient are finite in float32 at log-ratios of +-1000, in every mixture of two rows."""
    row = itertools.product((True, False), (0.0, -1000.0), (0.0, -1000.0), (0.0, -1000.0), (0.0, -1000.0))
    for rows in itertools.combinations(row, 2):
        given, leaf = outputs(rows, dtype=torch.float32)
        value = loss(given)
        value.losses.sum().backward()
        metrics = [metric[~metric.isnan()] for metric in value.metrics.values()]
        assert torch.isfinite(torch.cat([value.losses.detach(), leaf.grad, *metrics])).all(), rows


@pytest.fixture(scope="session")
def labelled():
    """Return `outputs`."""
    return outputs


@pytest.fixture(scope="session")
def finite_at_extremes():
    """Return `try_extremes`."""
    return try_extremes
