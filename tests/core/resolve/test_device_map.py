"""One model on the devices of one process: what cannot train is refused before anything is loaded."""

from __future__ import annotations

import pytest

from swift_core.errors import SwiftError
from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed
from swift_core.resolve.explain import explain
from swift_core.resolve.machine import Machine

RUN = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"
TWO = Machine(num_gpus=2)


def spread(value: str = "auto", more: str = "", train: str = "optimizer_type: adamw") -> str:
    engine = f"engine_kwargs: {{device_map: {value}{more}}}"
    return f"{RUN}train: {{{train}}}\ndevice: {{parallel_method: device_map, {engine}}}\n"


@pytest.mark.parametrize("value", ["auto", "balanced", "balanced_low_0", "sequential"])
def test_accelerates_own_ways_are_taken_on_gpus(plan_of, value):
    plan = plan_of(spread(value, ", max_memory: {'0': 10GiB, '1': 20000000000}"), machine=TWO)

    assert plan.parallel.values == {"device_map": value, "max_memory": {"0": "10GiB", "1": 20000000000}}
    assert "engine  device_map" in explain(plan)


def test_the_plan_shows_the_whole_map(plan_of):
    text = spread('{model.embed_tokens: 0, model.layers: 1, model.norm: 1, model.rotary_emb: 1, lm_head: "0"}')

    shown = explain(plan_of(text, machine=TWO))

    for name, device in (("model.embed_tokens", "0"), ("model.layers", "1"), ("lm_head", "0")):
        assert any(line.split() == [name, "=", device] for line in shown.splitlines())


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        ('{"": disk}', "engine-conflict", "on disk, where weights get no gradient"),
        ("{model: 0, lm_head: meta}", "engine-conflict", "on meta, where weights get no gradient"),
        ("{model: 0, lm_head: cpu}", "engine-conflict", "keeps weights on the CPU beside GPUs"),
        ('{"": 2}', "too-few-gpus", "GPU 2, and this machine has 2"),
        ('{"": gpu}', "wrong-value", "the device 'gpu', which is none"),
        ("fast", "wrong-value", "must be auto or balanced"),
        ("{}", "wrong-value", "or name a device for each module"),
        ("auto, max_memory: 3", "wrong-value", "must name a size for each GPU"),
        ("auto, max_memory: {'0': much}", "wrong-value", "max_memory of GPU 0 must be a size, got 'much'"),
        ("auto, max_memory: {cpu: 3GiB}", "wrong-value", "only GPUs hold weights that are trained"),
        ("auto, max_memory: {'7': 3GiB}", "too-few-gpus", "GPU 7, and this run has 2"),
    ],
)
def test_a_map_that_cannot_train_is_refused_with_the_reason(problems_of, value, code, text):
    (problem,) = problems_of(spread(value), machine=TWO)

    assert problem.code == code
    assert text in problem.message


def test_without_gpus_there_is_nothing_to_spread_over(problems_of, plan_of):
    (problem,) = problems_of(spread())

    assert problem.code == "no-gpu"
    assert plan_of(spread('{"": cpu}'))


def test_several_processes_are_refused(problems_of):
    text = spread().replace("device: {", "device: {num_processes: 2, ")

    (problem,) = problems_of(text, machine=TWO, planning=True)

    assert problem.code == "process-count"
    assert "the devices of one process, and there are 2" in problem.message


def codes(plan_of, text):
    try:
        plan_of(text, machine=TWO)
    except SwiftError as error:
        return {problem.code for problem in error.problems}
    return set()


def test_an_optimizer_on_several_devices_moves_each_parameter_alone_or_is_refused(plan_of):
    taken = set()
    for spec in installed().specs("optimizer"):
        if spec.first_party:
            text = spread(train=f"optimizer_type: {spec.name}")
            own = read_source(spec).declared
            if own["works_on"] != "memory" and own["moves_parameters_alone"]:
                taken.add(spec.name)
            assert ("optimizer-engine" in codes(plan_of, text)) is (spec.name not in taken)

    assert {"adamw", "lion", "galore_adamw"} <= taken
    assert not {"prodigy", "native_adamw"} & taken


def test_one_device_takes_every_optimizer(plan_of):
    assert plan_of(spread('{"": cpu}', train="optimizer_type: native_adamw"))
