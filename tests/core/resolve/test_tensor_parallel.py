"""One model held by several processes: what is asked for is settled, and what cannot be had is refused by name."""

from __future__ import annotations

import pytest

from swift_core.resolve.machine import Machine

RUN = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"
FULL = "tuner_strategy: full, optimizer_type: adamw"
TWO = Machine(num_gpus=2)


def cut(device: str = "num_processes: 2, tensor_parallel_size: 2", train: str = FULL) -> str:
    return f"{RUN}train: {{{train}}}\ndevice: {{{device}}}\n"


@pytest.mark.parametrize(
    "device",
    [
        "num_processes: 2, tensor_parallel_size: 2",
        "num_processes: 2, parallel_method: tp",
        "num_processes: 2, parallel_method: tp, tensor_parallel_size: 2",
    ],
)
def test_the_size_means_the_method_and_the_method_the_size(plan_of, device):
    plan = plan_of(cut(device), machine=TWO, planning=True)

    assert plan.parallel.method == "tp"
    assert plan.settings.device.tensor_parallel_size == 2
    assert plan.parallel.num_shares == 1  # both processes see the same rows


@pytest.mark.parametrize(
    ("device", "code", "text"),
    [
        ("num_processes: 4, tensor_parallel_size: 2", "process-count", "is 2 and there are 4 processes"),
        ("num_processes: 2, tensor_parallel_size: 2, parallel_method: ddp", "engine-conflict", "a method of its own"),
        ("num_processes: 2, tensor_parallel_size: 2, parallel_method: fsdp2", "engine-conflict", "and so does"),
        ("num_processes: 2, context_parallel_size: 2", "not-there", "tokens of one row are not shared"),
        ("parallel_method: tp", "process-count", "tp shares the work between processes, and there is one"),
        ("num_processes: 2, parallel_method: tp, engine_kwargs: {tp_plan: 3}", "wrong-value", "must be a mapping"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(problems_of, device, code, text):
    (problem,) = problems_of(cut(device), machine=Machine(num_gpus=4), planning=True)

    assert problem.code == code
    assert text in problem.message


@pytest.mark.parametrize(
    ("train", "text"),
    [
        ("tuner_strategy: lora, optimizer_type: adamw", "adds whole matrices beside cut ones"),
        (f"stage: rm, {FULL}", "trains a head of its own"),
        (f"stage: grpo, {FULL}", "draws answers"),
        (f"{FULL}, callbacks: [ema]", "puts weights into the model"),
    ],
)
def test_parts_that_do_not_work_on_cut_matrices_are_refused(problems_of, train, text):
    messages = [problem.message for problem in problems_of(cut(train=train), machine=TWO, planning=True)]

    assert any(text in message for message in messages)


def test_an_optimizer_that_reads_whole_matrices_is_refused(problems_of):
    text = cut(train="tuner_strategy: full, optimizer_type: muon")

    (problem,) = problems_of(text, machine=TWO, planning=True)

    assert problem.code == "optimizer-engine"
    assert "tp gives every process some rows or columns of each matrix" in problem.message
