"""What engine a run file asks for: every value is known before the start, and what would be dropped is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from swift_core.assemble.model import Loading, _quantization
from swift_core.config.load import parse
from swift_core.contracts.parallel import PRESETS, SHARDED
from swift_core.contracts.plan_json import plan_dict
from swift_core.errors import SwiftError
from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed
from swift_core.resolve.explain import explain
from swift_core.resolve.machine import Machine, this_machine
from swift_core.resolve.parallel import launch_line
from swift_core.resolve.plan import resolve
from swift_core.train.engine.start import engine_arguments, zero_config

RUN = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"
KEPT = RUN + 'train: {save_strategy: "no", optimizer_type: adamw, tuner_strategy: full}\n'
TWO = Machine(num_gpus=2, packages=frozenset({"deepspeed"}))


def device(method: str, more: str = "") -> str:
    return f"device: {{parallel_method: {method}, num_processes: 2{more}}}\n"


@pytest.mark.parametrize("method", SHARDED)
def test_the_plan_shows_every_value_of_the_preset(plan_of, method):
    plan = plan_of(KEPT + device(method), machine=TWO, planning=True)

    assert plan.parallel.values == PRESETS[method]
    shown = explain(plan)
    assert f"engine  {method}" in shown
    for name, value in plan_dict(plan)["engine"].items():
        assert value["origin"] == "default"
        assert re.search(rf"^ +{name} +=", shown, re.MULTILINE)


def test_a_value_of_the_run_file_takes_the_place_of_the_presets(plan_of):
    text = KEPT + device("fsdp2", ", engine_kwargs: {reshard_after_forward: false}")

    plan = plan_of(text, machine=TWO, planning=True)

    engine = plan_dict(plan)["engine"]["reshard_after_forward"]
    assert engine["value"] is False
    assert engine["origin"] == "file"


def test_what_fsdp_is_told_leaves_nothing_to_defaults(plan_of):
    plan = plan_of(KEPT + device("fsdp2", ", engine_kwargs: {wrap: [LlamaMLP]}"), machine=TWO, planning=True)

    told = engine_arguments(plan, on_cpu=False, model=None)

    assert told["fsdp"] is True
    assert told["fsdp_config"] == {
        "version": 2,
        "reshard_after_forward": True,
        "cpu_offload": False,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": ["LlamaMLP"],
        "state_dict_type": "FULL_STATE_DICT",
        "cpu_ram_efficient_loading": False,
        "activation_checkpointing": False,
    }


@pytest.mark.parametrize(("norm", "method", "stage"), [("0", "zero2", 2), ("1.5", "zero3", 3)])
def test_what_deepspeed_is_told_has_no_auto_in_it_and_keeps_clipping_off(plan_of, norm, method, stage):
    text = (
        RUN
        + 'train: {save_strategy: "no", gradient_accumulation_steps: 3, per_device_train_batch_size: 4, '
        + f"max_grad_norm: {norm}}}\n"
        + device(method, ", engine_kwargs: {offload_optimizer: true}")
    )
    told = zero_config(plan_of(text, machine=TWO, planning=True))

    assert told["gradient_clipping"] == float(norm)
    assert told["train_batch_size"] == 4 * 3 * 2
    assert told["gradient_accumulation_steps"] == 3
    assert told["zero_optimization"]["stage"] == stage
    assert told["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "pin_memory": True}
    assert "auto" not in str(told)


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (device("fsdp2", ", engine_kwargs: {reshard_after_foward: false}"), "unknown-option", "reshard_after_forward"),
        (device("zero2", ", engine_kwargs: {stage: 3}"), "unknown-option", "zero2 has no option 'stage'"),
        (device("fsdp2", ", engine_kwargs: {cpu_offload: 1}"), "wrong-value", "must be true or false, got 1"),
        (device("zero2", ", engine_kwargs: {reduce_bucket_size: true}"), "wrong-value", "must be a whole number"),
        (device("fsdp2", ", engine_kwargs: {state_dict: half}"), "wrong-value", "must be full or sharded"),
        ("device: {parallel_method: fsdp2}\n", "process-count", "fsdp2 shares the work between processes"),
        ("device: {num_processes: 3, nodes: 2, use_cpu: true}\n", "process-count", "shared evenly by 2 machines"),
    ],
)
def test_a_wrong_engine_section_is_refused(problems_of, more, code, text):
    problems = problems_of(KEPT + more, machine=TWO, planning=True)

    assert [problem.code for problem in problems] == [code]
    assert text in problems[0].message


@pytest.mark.parametrize("method", ["zero2", "zero3"])
def test_without_deepspeed_zero_is_refused_with_the_line_that_installs_it(problems_of, method):
    (problem,) = problems_of(KEPT + device(method), machine=Machine(num_gpus=2), planning=True)

    assert problem.code == "missing-package"
    assert problem.next_step.startswith("pip install deepspeed")


@pytest.mark.parametrize(
    ("method", "launched", "is_right"),
    [
        ("ddp", "fsdp", False),
        ("ddp", "deepspeed", False),
        ("ddp", "megatron-lm", False),
        ("fsdp2", "deepspeed", False),
        ("fsdp2", "fsdp", True),
        ("zero2", "fsdp", False),
        ("zero2", "deepspeed", True),
        ("zero3", "deepspeed", True),
        ("zero3", "megatron-lm", False),
    ],
)
def test_accelerate_launch_must_have_been_told_the_same_engine(plan_of, problems_of, method, launched, is_right):
    machine = Machine(
        num_gpus=2, world_size=2, local_world_size=2, packages=frozenset({"deepspeed"}), launched_engine=launched
    )
    if is_right:
        assert plan_of(KEPT + device(method), machine=machine).parallel.method == method
    else:
        (problem,) = problems_of(KEPT + device(method), machine=machine)
        assert problem.code == "wrong-engine"
        assert f"told to run {launched}, and the run file says {method}" in problem.message


def test_mixed_precision_of_accelerate_launch_is_refused(problems_of):
    machine = Machine(num_gpus=2, world_size=2, local_world_size=2, launched_precision="bf16")

    (problem,) = problems_of(KEPT + device("ddp"), machine=machine)

    assert "mixed_precision: bf16" in problem.message


@pytest.mark.parametrize(
    ("environment", "engine", "precision"),
    [
        ({}, "", "no"),
        ({"ACCELERATE_USE_FSDP": "true", "ACCELERATE_MIXED_PRECISION": "bf16"}, "fsdp", "bf16"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_MIXED_PRECISION": "no"}, "deepspeed", "no"),
    ],
)
def test_what_accelerate_launch_was_told_is_read(tmp_path, environment, engine, precision):
    machine = this_machine(environment, tmp_path)

    assert (machine.launched_engine, machine.launched_precision) == (engine, precision)


def test_the_line_for_several_machines_is_torchruns(plan_of):
    plan = plan_of(KEPT + "device: {num_processes: 8, nodes: 2}\n", machine=Machine(num_gpus=4), planning=True)

    line = launch_line(plan.config)

    assert "--nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint FIRST_MACHINE:29500" in line
    assert line.startswith("TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun ")  # else a machine that returns ends all
    assert line.endswith("/run.yaml --resume auto")


SAMPLED = RUN + "reward: {orms: [math]}\n"


def test_a_value_function_is_kept_where_no_process_has_a_part_of_it(problems_of, plan_of):
    text = SAMPLED + "train: {stage: ppo}\n"
    (problem,) = problems_of(text + device("fsdp2"), machine=TWO, planning=True)
    assert problem.code == "engine-conflict"
    assert problem.message.startswith("stage 'ppo' keeps whole weights beside the model's in checkpoints, and fsdp2")
    assert plan_of(text.replace("ppo", 'ppo, save_strategy: "no"') + device("fsdp2"), machine=TWO, planning=True)
    assert plan_of(text + device("ddp"), machine=TWO, planning=True)


def test_a_value_function_is_refused_where_the_head_is_in_pieces(problems_of):
    text = SAMPLED + 'train: {stage: ppo, save_strategy: "no"}\n'
    told = [problem.message for problem in problems_of(text + device("zero3"), machine=TWO, planning=True)]
    assert any(message.startswith("stage 'ppo' reads the head beside the model's forward") for message in told)


SERVED = 'rollout: {engine: openai, engine_kwargs: {url: "http://localhost:1/v1", model: m OPTIONS}}\n'
TOLD = ", reload: /update_weights_from_disk, weights_folder: served"


@pytest.mark.parametrize("stage", ["grpo", "ppo", "online_dpo"])
def test_a_server_that_goes_on_with_old_weights_trains_nothing(problems_of, plan_of, stage):
    text = SAMPLED + f"train: {{stage: {stage}, tuner_strategy: full}}\n" + SERVED
    (problem,) = problems_of(text.replace("OPTIONS", ""), planning=True)
    assert problem.code == "engine-weights"
    assert f"'openai' cannot take over the weights that stage '{stage}' changes" in problem.message
    assert "or give it the option 'reload'" in problem.next_step
    assert plan_of(text.replace("OPTIONS", TOLD), planning=True)


def test_merged_adapters_are_handed_over_by_processes_that_have_them_whole(problems_of, plan_of):
    text = SAMPLED + "train: {stage: grpo}\n" + SERVED.replace("OPTIONS", TOLD)
    (problem,) = problems_of(text + device("fsdp2"), machine=TWO, planning=True)
    assert problem.code == "engine-conflict"
    assert plan_of(text + device("ddp"), machine=TWO, planning=True)


def test_galore_under_zero_is_refused_with_the_reason(problems_of):
    text = RUN + 'train: {save_strategy: "no", optimizer_type: galore_adamw}\n' + device("zero2")

    (problem,) = problems_of(text, machine=TWO, planning=True)

    assert problem.code == "optimizer-engine"
    assert "works on whole matrices, and zero2 gives every process a flat piece of all parameters" in problem.message


def test_an_optimizer_that_does_not_say_what_it_works_on_gets_no_pieces(problems_of, plan_of, tmp_path):
    (tmp_path / "mine.py").write_text("import torch\n\n\nclass Mine(torch.optim.SGD):\n    '''Plain.'''\n")
    text = RUN + 'train: {save_strategy: "no", optimizer_type: ./mine.py:Mine}\n'

    (problem,) = problems_of(text + device("fsdp2"), machine=TWO, planning=True)

    assert problem.code == "optimizer-engine"
    assert "does not say what it works on" in problem.message
    assert plan_of(text + device("ddp"), machine=TWO, planning=True)


@pytest.mark.parametrize("method", SHARDED)
def test_every_optimizer_of_ours_is_run_on_pieces_or_refused_with_the_reason(tmp_path, method):
    refused = {}
    for spec in installed().specs("optimizer"):
        if spec.first_party:
            keys = f'save_strategy: "no", tuner_strategy: full, optimizer_type: {spec.name}'
            text = RUN + f"train: {{{keys}}}\n" + device(method)
            refused[spec.name] = codes(text, tmp_path) - {"missing-package"}

    zero = {"engine-conflict"} if method.startswith("zero") else set()
    assert set().union(*refused.values()) == {"optimizer-engine", "one-process-only", *zero}
    declared = {spec.name: read_source(spec).declared for spec in installed().specs("optimizer") if spec.first_party}
    taken = {name for name, problems in refused.items() if not problems}
    may_put_weights = method in ("fsdp2", "tp")
    assert taken == {
        name
        for name, own in declared.items()
        if own["works_on"] in ("elements", "memory") and (not own.get("puts_weights") or may_put_weights)
    }
    assert {"adamw", "native_adamw", "lion"} <= taken


def codes(text, folder):
    """Return the codes of what is wrong with a run file."""
    try:
        resolve(parse(text, folder / "run.yaml"), installed(), machine=TWO, planning=True)
    except SwiftError as error:
        return {problem.code for problem in error.problems}
    return set()


@pytest.mark.parametrize(
    ("method", "train"),
    [
        ("fsdp2", "sync_ref_model: true, stage: dpo, tuner_strategy: full"),
        ("zero3", "sync_ref_model: true, stage: dpo, tuner_strategy: full"),
        ("zero2", "on_nonfinite: skip"),
        ("zero2", "optimizer_type: schedule_free_adamw"),
        ("fsdp2", "callbacks: [ema]"),
    ],
)
def test_what_reads_whole_weights_between_steps_is_refused(problems_of, method, train):
    text = (
        "model: {model_id: demo:tiny}\ndata: {dataset: demo:preference}\n"
        f'train: {{save_strategy: "no", {train}}}\n' + device(method)
    )
    (problem,) = problems_of(text, machine=TWO, planning=True)

    assert problem.code == "engine-conflict"


@pytest.mark.parametrize("method", ["zero2", "zero3"])
def test_zero_keeps_checkpoints(plan_of, method):
    plan = plan_of(RUN + device(method), machine=TWO, planning=True)

    assert plan.settings.train.save_strategy == "steps"


@pytest.mark.parametrize(("method", "bits"), [("fsdp2", 8), ("zero2", 8), ("zero2", 4), ("zero3", 4)])
def test_quantised_weights_are_not_cut_into_pieces(problems_of, method, bits):
    text = f"model: {{model_id: demo:tiny, quantization_bit: {bits}}}\ndata: {{dataset: demo:chat}}\n" + device(method)
    machine = replace(TWO, packages=TWO.packages | {"bitsandbytes"})

    (problem,) = problems_of(text, machine=machine, planning=True)

    assert problem.code == "engine-conflict"
    assert f"{bits}-bit ones are packed" in problem.message


def test_four_bits_are_cut_by_fsdp2_in_the_type_of_the_other_weights(plan_of, monkeypatch):
    machine = replace(TWO, packages=TWO.packages | {"bitsandbytes"})
    text = RUN + "train: {tuner_strategy: qlora}\n" + device("fsdp2")

    assert plan_of(text, machine=machine, planning=True).settings.model.quantization_bit == 4

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # a GPU and bitsandbytes, of which none is used
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    told = [
        _quantization(Loading(dtype="bfloat16", quantization_bit=4, shards_weights=shards)).bnb_4bit_quant_storage
        for shards in (True, False)
    ]
    assert told == [torch.bfloat16, torch.uint8]
