"""What a machine has decides what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swift_core.contracts.handover import RunPlan
from swift_core.errors import Problem
from swift_core.resolve.machine import Machine, this_machine
from swift_core.resolve.parallel import launch_line

RUN = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"
TWO_GPUS = Machine(num_gpus=2)
PlanOf = Callable[..., RunPlan]
ProblemsOf = Callable[..., list[Problem]]


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """Return a folder like /dev with four GPUs and the files that stand beside them."""
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 4),
        ("", 0),
        ("-1", 0),
        ("0", 1),
        ("0,2", 2),
        ("0,-1,1", 1),
        ("7", 0),
        ("0,7,1", 1),
        ("GPU-abc,GPU-def", 2),
    ],
)
def test_visible_gpus_are_counted_as_cuda_does(devices: Path, visible: str | None, count: int) -> None:
    machine = this_machine({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}, devices)

    assert (machine.num_gpus, machine.hidden_gpus) == (count, 4 - count)


@pytest.mark.parametrize(("value", "size"), [(None, None), ("", None), ("4", 4)])
def test_the_world_is_that_of_torchrun(tmp_path: Path, value: str | None, size: int | None) -> None:
    assert this_machine({} if value is None else {"WORLD_SIZE": value}, tmp_path).world_size == size


@pytest.mark.parametrize(
    ("device", "machine", "message", "next_step"),
    [
        ("{num_gpus: 4}", Machine(num_gpus=0), "asks for 4 GPUs, and this machine has no GPU", "remove num_gpus"),
        ("{num_gpus: 4}", TWO_GPUS, "asks for 4 GPUs, and this machine has 2", "write num_gpus: 2"),
        (
            "{num_gpus: 1}",
            Machine(num_gpus=0, hidden_gpus=2),
            "CUDA_VISIBLE_DEVICES hides every GPU",
            "remove num_gpus",
        ),
        ("{num_gpus: 1, use_cpu: true}", TWO_GPUS, "device.use_cpu is true", "remove use_cpu"),
        (
            "{num_processes: 3}",
            TWO_GPUS,
            "3 processes with a GPU each, and this machine has 2",
            "write num_processes: 2",
        ),
        ("{num_processes: 2}", TWO_GPUS, "swift train is one", "--nproc 2"),
        ("{num_processes: 2}", Machine(num_gpus=0, world_size=4), "torchrun started 4", "num_processes: 4"),
        ("{}", Machine(num_gpus=0, world_size=4), "torchrun started 4", "num_processes: 4"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_nearest_thing(
    problems_of: ProblemsOf, device: str, machine: Machine, message: str, next_step: str
) -> None:
    (problem,) = problems_of(RUN + f"device: {device}\n", machine=machine)

    assert message in problem.message
    assert next_step in problem.next_step


def test_a_package_that_an_optimizer_needs_on_a_gpu_is_missed_before_the_run(
    plan_of: PlanOf, problems_of: ProblemsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RUN + "train: {optimizer_type: adamw8bit}\n"
    monkeypatch.setattr("swift_core.resolve.device.find_spec", lambda _: None)
    (problem,) = problems_of(run, machine=Machine(num_gpus=1))

    assert problem.message == (
        "the optimizer 'adamw8bit' needs the package bitsandbytes on a GPU, and it is not installed"
    )
    assert problem.next_step == "pip install bitsandbytes, or write device: {use_cpu: true}"
    assert plan_of(run, machine=Machine(num_gpus=0)).optimizer.plugin.name == "adamw8bit"
    assert plan_of(run, "device.use_cpu=true", machine=Machine(num_gpus=1))
    monkeypatch.setattr("swift_core.resolve.device.find_spec", lambda _: object())
    assert plan_of(run, machine=Machine(num_gpus=1)).optimizer.plugin.name == "adamw8bit"


def test_a_plan_says_whose_kernels_take_the_steps_on_a_cpu(plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RUN + "train: {optimizer_type: adamw8bit}\n"
    begins = "train.optimizer_type: adamw8bit takes its steps "
    for found, end in (
        (object(), "with the kernels of swift-native"),
        (None, "in plain torch; swift-native is not installed, whose kernels are faster: pip install swift-native"),
    ):
        monkeypatch.setattr("swift_core.resolve.device.find_spec", lambda _, found=found: found)
        assert begins + end in plan_of(run, machine=Machine(num_gpus=0)).notes
    monkeypatch.setattr("swift_core.resolve.device.find_spec", lambda _: object())
    assert not [note for note in plan_of(run, machine=Machine(num_gpus=1)).notes if note.startswith(begins)]


def test_processes_that_torchrun_started_may_train(plan_of: PlanOf) -> None:
    plan = plan_of(RUN + "device: {num_processes: 2}\n", machine=Machine(num_gpus=0, world_size=2))

    assert plan.settings.device.parallel_method == "ddp"
    assert plan.config.origins["device.parallel_method"].kind == "chosen"


def test_processes_on_other_machines_need_no_gpu_here(plan_of: PlanOf) -> None:
    machine = Machine(num_gpus=2, world_size=4, local_world_size=2)

    assert plan_of(RUN + "device: {num_processes: 4}\n", machine=machine).settings.device.num_processes == 4


def test_ddp_without_a_number_takes_the_processes_of_torchrun(plan_of: PlanOf) -> None:
    plan = plan_of(RUN + "device: {parallel_method: ddp}\n", machine=Machine(num_gpus=0, world_size=2))

    assert plan.settings.device.num_processes == 2


def test_a_plan_of_several_processes_needs_no_torchrun_and_prints_its_line(plan_of: PlanOf) -> None:
    plan = plan_of(RUN + "device: {num_gpus: 2}\n", machine=TWO_GPUS, planning=True)

    line = launch_line(plan.config)
    assert line.startswith("swift train ")
    assert line.endswith("run.yaml --nproc 2")


@pytest.mark.parametrize(
    ("model", "machine", "code"),
    [
        ("quantization_bit: 4", Machine(num_gpus=0), "no-gpu"),
        ("quantization_bit: 8", Machine(num_gpus=0), "missing-package"),
        ("quantization_bit: 8", TWO_GPUS, "missing-package"),
        ("attn_implementation: flash_attention_2", Machine(num_gpus=0), "no-gpu"),
        ("attn_implementation: flash_attention_2", TWO_GPUS, "missing-package"),
        ("dtype: float16", Machine(num_gpus=0), "no-gpu"),
    ],
)
def test_types_and_kernels_that_are_not_there_are_refused(
    problems_of: ProblemsOf, model: str, machine: Machine, code: str
) -> None:
    text = f"model: {{model_id: demo:tiny, {model}}}\ndata: {{dataset: demo:chat}}\n"

    assert [problem.code for problem in problems_of(text, machine=machine)] == [code]


def test_four_bits_are_had_with_a_gpu_and_its_package(plan_of: PlanOf) -> None:
    text = "model: {model_id: demo:tiny, quantization_bit: 4}\ndata: {dataset: demo:chat}\n"

    plan = plan_of(text, machine=Machine(num_gpus=1, packages=frozenset({"bitsandbytes"})))

    assert plan.settings.model.quantization_bit == 4


def test_eight_bits_are_had_on_a_cpu_with_the_package_and_a_note(plan_of: PlanOf) -> None:
    train = "train: {tuner_strategy: qlora}\n"
    text = "model: {model_id: demo:tiny, quantization_bit: 8}\ndata: {dataset: demo:chat}\n" + train

    plan = plan_of(text, machine=Machine(num_gpus=0, packages=frozenset({"bitsandbytes"})))

    assert plan.settings.model.quantization_bit == 8
    assert any(note.startswith("model.quantization_bit: a CPU unpacks 8-bit weights") for note in plan.notes)


def test_qlora_means_four_bits(plan_of: PlanOf) -> None:
    text = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\ntrain: {tuner_strategy: qlora}\n"

    plan = plan_of(text, machine=Machine(num_gpus=1, packages=frozenset({"bitsandbytes"})))

    assert plan.settings.model.quantization_bit == 4
    assert plan.config.origins["model.quantization_bit"].note == "tuner qlora"


def test_quantised_weights_are_not_trained_themselves(problems_of: ProblemsOf) -> None:
    text = (
        "model: {model_id: demo:tiny, quantization_bit: 4}\ndata: {dataset: demo:chat}\ntrain: {tuner_strategy: full}\n"
    )

    (problem,) = problems_of(text, machine=Machine(num_gpus=1, packages=frozenset({"bitsandbytes"})))

    assert problem.code == "quantised-full"


@pytest.mark.parametrize(("units", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_the_type_that_is_suggested_instead_of_float16_is_the_fast_one(
    problems_of: ProblemsOf, units: bool, dtype: str
) -> None:
    (problem,) = problems_of(RUN + "train: {dtype: float16}\n", machine=Machine(num_gpus=0, has_bf16_units=units))

    assert problem.next_step == f"write dtype: {dtype}"


def test_bfloat16_without_units_is_noted(plan_of: PlanOf) -> None:
    plan = plan_of(RUN + "train: {dtype: bfloat16}\n")

    assert any("no bfloat16 units" in note for note in plan.notes)
