"""Threads: results do not depend on them, Python runs meanwhile, and a fork does not lose them."""

import subprocess
import sys
import textwrap
import threading
import time

import pytest
import torch

from swift_native import AdamW, _native

NUM_ELEMENTS = 300_001


def values(seed, dtype=torch.float32, scale=1.0):
    return (scale * torch.randn(NUM_ELEMENTS, generator=torch.Generator().manual_seed(seed))).to(dtype)


def trained(splits=(NUM_ELEMENTS,), dtype=torch.float32, scale=1.0, eps=1e-8):
    params = [torch.nn.Parameter(part.clone()) for part in values(0, dtype).split(splits)]
    optimizer = AdamW(params, lr=0.1, eps=eps)
    for step in range(3):
        for param, grad in zip(params, values(step + 1, dtype, scale).split(splits), strict=True):
            param.grad = grad.clone()
        optimizer.step()
    return torch.cat([param.detach() for param in params])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_threads", [2, 3, 5])
def test_the_number_of_threads_does_not_change_a_bit(threads, num_threads, dtype):
    threads(1)
    alone = trained(dtype=dtype)
    threads(num_threads)
    assert torch.equal(trained(dtype=dtype), alone)


@pytest.mark.parametrize("splits", [(1, 300_000), (65_535, 2, 234_464), (7,) * 42 + (299_707,), (150_000, 150_001)])
def test_how_parameters_are_split_into_tensors_does_not_change_a_bit(threads, splits):
    threads(2)
    assert torch.equal(trained(splits), trained())


def test_helpers_flush_denormal_numbers_exactly_if_the_caller_does(threads):
    tiny = {"scale": 1e-19, "eps": 1e-20}
    try:
        if not torch.set_flush_denormal(True):
            pytest.skip("this processor cannot flush denormal numbers")
        threads(1)
        alone = trained(**tiny)
        threads(4)
        shared = trained(**tiny)
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(shared, alone)
    assert not torch.equal(trained(**tiny), alone)


def test_helpers_are_started_once_and_no_more_than_asked_for(threads):
    threads(3)
    trained()
    started = _native.num_pool_threads()
    trained()
    assert started >= 2
    assert _native.num_pool_threads() == started


@pytest.mark.timed
def test_other_python_threads_run_during_a_step(threads):
    threads(1)
    param = torch.nn.Parameter(torch.ones(8_000_000))
    param.grad = torch.ones(8_000_000)
    optimizer = AdamW([param])
    optimizer.step()
    stop, ticks = threading.Event(), []

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    clock = threading.Thread(target=tick)
    clock.start()
    try:
        # On a busy machine the clock may not get the processor during one step; during twenty it does.
        seen = any(ticks_inside(optimizer, ticks) for _ in range(20))
    finally:
        stop.set()
        clock.join()
    assert seen


def ticks_inside(optimizer, ticks):
    """Take a step and return whether the clock ticked in its middle: not while its Python part ran."""
    begin = time.perf_counter()
    optimizer.step()
    end = time.perf_counter()
    margin = (end - begin) / 4
    return any(begin + margin < tick < end - margin for tick in ticks)


def test_two_optimizers_may_step_at_once(threads):
    threads(2)
    alone = trained()
    results = []
    workers = [threading.Thread(target=lambda: results.append(trained())) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 3
    assert all(torch.equal(result, alone) for result in results)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_the_child_of_a_fork_steps_as_its_parent_does():
    code = """
        import os, signal, torch
        from swift_native import AdamW, _native

        def stepped():
            param = torch.nn.Parameter(torch.linspace(-1, 1, 200_000))
            param.grad = torch.linspace(2, -2, 200_000)
            # torch's own pool does not survive a fork, so nothing of it may run in the child: only the native step.
            optimizer = AdamW([param])
            return param, optimizer

        torch.set_num_threads(1)
        parent, optimizer = stepped()
        child, child_optimizer = stepped()
        torch.get_num_threads = lambda: 2
        optimizer.step()
        assert _native.num_pool_threads() == 1
        process = os.fork()
        if process == 0:
            signal.alarm(30)
            forgotten = _native.num_pool_threads() == 0
            child_optimizer.step()
            same = child.detach().numpy().tobytes() == parent.detach().numpy().tobytes()
            os._exit(0 if same and forgotten and _native.num_pool_threads() == 1 else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        optimizer.step()
        print("ended well")
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=600
    )
    assert done.stdout == "ended well\n", done.stderr
    assert done.returncode == 0
