"""vLLM in process: what it is given, by a stand-in for the package, and what is said where it is not installed."""

import sys
from types import SimpleNamespace

import pytest

from swift_core.builtins.engines.vllm import VllmEngine
from swift_core.config.load import load
from swift_core.errors import SwiftError
from swift_core.plugin_api import SamplingParams
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve


@pytest.fixture
def vllm(monkeypatch):
    """A package `vllm` whose model answers with the last prompt token."""
    told = SimpleNamespace(loaded=None, sampling=None)

    class LLM:
        def __init__(self, **options):
            told.loaded = options

        def generate(self, prompts, sampling, use_tqdm):
            told.sampling = sampling
            return [
                SimpleNamespace(
                    outputs=[
                        SimpleNamespace(token_ids=(each["prompt_token_ids"][-1], 2), finish_reason=reason)
                        for reason in ("stop", "length")
                    ]
                )
                for each in prompts
            ]

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=LLM, SamplingParams=lambda **given: given))
    return told


def test_prompts_and_parameters_reach_vllm_and_answers_come_back(vllm, tmp_path):
    engine = VllmEngine(max_model_len=64)
    engine.open(tmp_path)
    params = SamplingParams(num_answers=2, max_tokens=7, seed=5, stop_token_ids=(2,))
    first, second = engine.generate([[4, 5], [6]], params)
    assert vllm.loaded["model"] == str(tmp_path)
    assert vllm.loaded["max_model_len"] == 64
    assert [list(rollout.answer_ids) for rollout in (*first, *second)] == [[5, 2], [5, 2], [6, 2], [6, 2]]
    assert [rollout.finished for rollout in first] == [True, False]
    assert [given["seed"] for given in vllm.sampling] == [5, 7]  # those of a prompt's answers follow
    assert vllm.sampling[0]["n"] == 2
    assert vllm.sampling[0]["top_k"] == -1
    assert vllm.sampling[0]["stop_token_ids"] == [2]


def plan(folder, text, *, sampling):
    (folder / "run.yaml").write_text(f"model: {{model_id: 'demo:tiny'}}\ndata: {{dataset: 'demo:prompts'}}\n{text}")
    return resolve(load(folder / "run.yaml", []), installed(), sampling=sampling)


@pytest.mark.skipif(__import__("importlib.util").util.find_spec("vllm") is not None, reason="vllm is installed")
def test_where_it_is_not_installed_the_plan_says_how_to_install_it(tmp_path):
    with pytest.raises(SwiftError, match=r"run\.yaml:3:19.*needs the package vllm") as error:
        plan(tmp_path, "rollout: {engine: vllm}\n", sampling=True)
    assert "next: pip install vllm" in str(error.value)


def test_an_engine_with_weights_of_its_own_is_refused_in_training_and_taken_for_sampling(tmp_path):
    engine = "rollout: {engine: openai, engine_kwargs: {url: 'http://localhost:1', model: m}}\n"
    grpo = "reward: {orms: [math]}\ntrain: {stage: grpo}\n"
    with pytest.raises(SwiftError, match="cannot take over the weights that stage 'grpo' changes"):
        plan(tmp_path, engine + grpo, sampling=False)
    assert plan(tmp_path, engine, sampling=True).engine.plugin.name == "openai"
