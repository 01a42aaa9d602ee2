"""Instruction sets: chosen at run time, by hand if wanted, with the same results."""

import os
import subprocess
import sys

import pytest
import torch

from swift_native import AdamW, current_isa, select_isa, usable_isas

SIZES = [1, 15, 16, 17, 63, 64, 65, 1000, 70_000]


def trained(dtype, amsgrad):
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(size, generator=generator).to(dtype)) for size in SIZES]
    optimizer = AdamW(params, lr=0.1, amsgrad=amsgrad)
    for _ in range(5):
        for param in params:
            scale = 10.0 ** torch.randint(-6, 4, param.shape, generator=generator)
            param.grad = (scale * torch.randn(param.shape, generator=generator)).to(dtype)
        optimizer.step()
    return torch.cat([param.detach() for param in params])


def imported(value):
    environment = {**os.environ, "SWIFT_NATIVE_ISA": value}
    code = "import sys, swift_native; print(swift_native.current_isa(), 'torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_instruction_set_gives_the_same_bits(isa, dtype, amsgrad):
    results = []
    for name in usable_isas():
        isa(name)
        assert current_isa() == name
        results.append(trained(dtype, amsgrad))
    assert all(torch.equal(result, results[0]) for result in results)


def test_the_widest_is_used_unless_the_environment_names_another():
    assert imported("").stdout.split() == [usable_isas()[-1], "False"]
    assert imported("baseline").stdout.split() == ["baseline", "False"]


def test_an_instruction_set_that_is_not_there_is_refused_with_those_that_are():
    done = imported("avx9")
    assert done.returncode == 1
    expected = f"SWIFT_NATIVE_ISA must be one of {', '.join(usable_isas())} on this machine, got 'avx9'"
    assert done.stderr.strip().endswith(expected)
    with pytest.raises(ValueError, match=r"^isa must be one that this machine runs \(baseline.*\), got 'avx9'$"):
        select_isa("avx9")


def test_the_plain_kernels_are_always_there():
    assert usable_isas()[0] == "baseline"
