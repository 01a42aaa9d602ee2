"""Names become plugins, options are checked, and short forms find their part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from swift_core.contracts.handover import RunPlan
from swift_core.contracts.plan_json import plan_dict
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.explain import explain

MODEL = "model: {model_id: demo:tiny}\n"
CHAT = MODEL + "data: {dataset: demo:chat}\n"
PAIRS = MODEL + "data: {dataset: demo:preference}\n"
GALORE = (
    PAIRS + "train: {stage: dpo, loss_type: dpo, loss_kwargs: {beta: 0.2}, "
    "optimizer_type: galore_adamw, optimizer_kwargs: {lr: 2e-5, rank: 64}}\n"
)
PlanOf = Callable[..., RunPlan]
ProblemsOf = Callable[..., list[Problem]]


def test_a_run_file_of_two_lines_has_every_part(plan_of: PlanOf) -> None:
    plan = plan_of(CHAT)

    assert {part.kind: part.plugin.qualified for part in plan.parts} == {
        "trainer": "swift-core:sft",
        "loss": "swift-core:cross_entropy",
        "optimizer": "swift-core:adamw",
        "scheduler": "swift-core:linear",
        "tuner": "swift-core:lora",
        "hub": "swift-core:demo",
    }


def test_the_example_of_the_documentation_takes_parts_of_three_wheels(plan_of: PlanOf) -> None:
    plan = plan_of(GALORE)

    assert plan.loss.plugin.qualified == "swift-loss-zoo:dpo"
    assert plan.loss.options == {"beta": 0.2}
    assert plan.optimizer.plugin.qualified == "swift-optim-zoo:galore_adamw"
    assert plan.optimizer.options == {"lr": 2e-5, "rank": 64, "weight_decay": 0.0}
    assert str(plan.optimizer.origins["lr"].place).endswith("run.yaml:3:116")


def test_the_learning_rate_of_the_optimizer_is_that_of_the_run(plan_of: PlanOf) -> None:
    plan = plan_of(GALORE)

    assert plan.settings.train.learning_rate == 2e-5
    assert plan.config.origins["train.learning_rate"].note == "from train.optimizer_kwargs.lr"


def test_names_of_transformers_fill_the_options_of_the_optimizer(plan_of: PlanOf) -> None:
    plan = plan_of(CHAT + "train: {learning_rate: 1e-3, weight_decay: 0.1, adam_beta2: 0.95, adam_epsilon: 1e-6}\n")

    assert plan.optimizer.options == {"lr": 1e-3, "weight_decay": 0.1, "betas": [0.9, 0.95], "eps": 1e-6}
    assert plan.optimizer.origins["betas"].note == "from train.adam_beta2"


def test_defaults_of_the_optimizer_stand_where_nothing_was_written(plan_of: PlanOf) -> None:
    assert set(plan_of(CHAT).optimizer.options) == {"lr", "weight_decay"}


def test_a_learning_rate_of_the_command_line_wins_over_the_options_of_the_file(plan_of: PlanOf) -> None:
    plan = plan_of(GALORE, "train.learning_rate=1e-4")

    assert plan.optimizer.options["lr"] == 1e-4
    assert plan.settings.train.learning_rate == 1e-4
    assert any("wins over train.optimizer_kwargs.lr" in note for note in plan.notes)


@pytest.mark.parametrize("stage", ["simpo", "orpo", "dpo"])
def test_a_pair_loss_may_be_named_as_the_stage(plan_of: PlanOf, stage: str) -> None:
    plan = plan_of(PAIRS + f"train: {{stage: {stage}}}\n")

    assert plan.procedure.plugin.name == "dpo"
    assert plan.loss.plugin.name == stage


@pytest.mark.parametrize("stage", ["kto", "bco", "apo_zero_unpaired"])
def test_a_loss_on_labelled_answers_may_be_named_as_the_stage(plan_of: PlanOf, stage: str) -> None:
    plan = plan_of(PAIRS + f"train: {{stage: {stage}}}\n")

    assert plan.procedure.plugin.name == "kto"
    assert plan.loss.plugin.name == stage
    noted = f"train.stage: {stage} means stage kto with the loss {stage}" in plan.notes
    assert noted == (stage != "kto")


def test_task_type_chooses_the_preference_stage(plan_of: PlanOf) -> None:
    plan = plan_of(MODEL + "data: {dataset: demo:preference, task_type: preference}\n")

    assert (plan.procedure.plugin.name, plan.loss.plugin.name) == ("dpo", "dpo")


def test_shorthands_go_to_the_part_that_has_the_option(plan_of: PlanOf) -> None:
    plan = plan_of(PAIRS + "train: {stage: dpo, beta: 0.3, lora_rank: 4, lora_alpha: 8}\n")

    assert plan.loss.options == {"beta": 0.3}
    assert plan.tuner.options == {"lora_rank": 4, "lora_alpha": 8}
    assert plan.loss.origins["beta"].note == "written as train.beta"
    assert "train.beta means train.loss_kwargs.beta" in plan.notes


def test_a_shorthand_of_the_command_line_wins_over_the_option_of_the_file(plan_of: PlanOf) -> None:
    plan = plan_of(PAIRS + "train: {stage: dpo, loss_kwargs: {beta: 0.1}}\n", "train.beta=0.4")

    assert plan.loss.options == {"beta": 0.4}


def test_a_wrong_value_of_a_shorthand_is_shown_where_it_was_written(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(PAIRS + "train: {stage: dpo, beta: -1}\n")

    assert str(problem.place).endswith("run.yaml:3:27")
    assert "beta must be > 0, got -1" in problem.message


def test_problems_of_all_sections_come_together(problems_of: ProblemsOf) -> None:
    problems = problems_of(
        "model: {model_id: ./nowhere, chat_template: none.jinja}\ndata: {dataset: nothing.jsonl}\n"
        "train: {loss_type: x, optimizer_type: y, callbacks: [z], loss_kwargs: {a: 1}}\nplugins: {require: [acme]}\n"
    )

    assert [str(problem.place).rpartition("run.yaml:")[2] for problem in problems] == [
        "1:19", "1:45", "2:17", "3:20", "3:39", "3:54", "4:21"
    ]  # fmt: skip


def test_a_key_that_the_optimizer_would_not_read_is_refused(problems_of: ProblemsOf, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("class Plain:\n    def __init__(self, params, *, lr: float = 1.0): ...\n")

    (problem,) = problems_of(
        CHAT + "train: {optimizer_type: './plain.py:Plain', adam_beta1: 0.8, learning_rate: 1.0}\n"
    )

    assert problem.code == "unused-key"
    assert "has no option 'betas'" in problem.message


def test_paths_start_from_the_folder_of_the_run_file(plan_of: PlanOf, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text("{}\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")

    plan = plan_of("model: {model_id: model}\ndata: {dataset: [data/a.jsonl, data/a.jsonl#1, data]}\n")

    assert plan.hub.plugin.name == "local"


@pytest.mark.parametrize("name", ["owner/name", "owner/name:subset", "owner/name#100"])
def test_hub_ids_of_data_are_left_to_the_hub(plan_of: PlanOf, name: str) -> None:
    assert plan_of(MODEL + f"data: {{dataset: '{name}'}}\n").hub.plugin.name == "demo"


def test_a_missing_folder_suggests_one_beside_it(problems_of: ProblemsOf, tmp_path: Path) -> None:
    (tmp_path / "smollm2").mkdir()

    (problem,) = problems_of("model: {model_id: ./smolm2}\ndata: {dataset: demo:chat}\n")

    assert f"Did you mean {tmp_path / 'smollm2'}?" in problem.message


@pytest.mark.parametrize(
    ("train", "note"),
    [
        ("{eval_steps: 5}", "train.eval_steps has no effect with train.eval_strategy: no"),
        ("{save_steps: 5, save_strategy: epoch}", "train.save_steps has no effect with train.save_strategy: epoch"),
        ("{num_train_epochs: 2, max_steps: 5}", "train.num_train_epochs has no effect: train.max_steps wins"),
    ],
)
def test_a_value_without_effect_is_noted(plan_of: PlanOf, train: str, note: str) -> None:
    assert note in plan_of(CHAT + f"train: {train}\n").notes


def test_create_builds_a_part_from_its_options(plan_of: PlanOf) -> None:
    plan = plan_of(PAIRS + "train: {stage: dpo, loss_kwargs: {beta: 0.25}}\n")

    assert plan.create(plan.loss).beta == 0.25


def test_a_refusal_of_the_constructor_has_the_place_of_the_part(plan_of: PlanOf, tmp_path: Path) -> None:
    source = (
        "class Picky:\n    def __init__(self, *, size: int = 3):\n        raise ValueError('size must be odd, got 4')\n"
    )
    (tmp_path / "picky.py").write_text(source + "    def __call__(self, tokens): ...\n")
    text = CHAT + "train:\n  loss_type: ./picky.py:Picky\n  loss_kwargs: {size: 4}\n"
    plan = plan_of(text, registry=installed(allow_code=True))

    with pytest.raises(SwiftError) as caught:
        plan.create(plan.loss)

    (problem,) = caught.value.problems
    assert "size must be odd, got 4" in problem.message
    assert problem.place is not None
    assert problem.place.line in (4, 5)


def test_a_file_of_an_untrusted_folder_does_not_run(
    plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')\nclass Evil: ...\n")
    plan = plan_of(CHAT + "train: {loss_type: './evil.py:Evil'}\n")

    with pytest.raises(SwiftError) as caught:
        plan.load(plan.loss)

    assert str(caught.value.problems[0].place).endswith("run.yaml:3:20")


def test_the_plan_as_data_is_json_and_says_where_each_value_is_from(plan_of: PlanOf) -> None:
    data = json.loads(json.dumps(plan_dict(plan_of(GALORE, "train.seed=3"))))

    train = data["settings"]["train"]
    assert train["seed"] == {"value": 3, "origin": "command line", "place": "command line:1:12"}
    assert train["max_steps"] == {"value": -1, "origin": "default"}
    assert data["versions"]["swift-loss-zoo"]
    (loss,) = [part for part in data["parts"] if part["kind"] == "loss"]
    assert (loss["wheel"], loss["options"]["beta"]["value"]) == ("swift-loss-zoo", 0.2)
    assert loss["options"]["label_smoothing"] == {"value": 0.0, "origin": "plugin default"}


def test_the_plan_in_words_shows_aliases_resolved(plan_of: PlanOf) -> None:
    text = explain(plan_of(MODEL + "data: {dataset_name: demo:chat}\ntraining_args: {lora_rank: 4, dtype: float32}\n"))

    for line in ("data.dataset_name means data.dataset", "training_args means train", "train.dtype means model.dtype",
                 "train.lora_rank means train.tuner_kwargs.lora_rank"):  # fmt: skip
        assert line in text


def test_stages_that_sample_may_have_several_turns_and_others_are_refused(
    plan_of: PlanOf, problems_of: ProblemsOf
) -> None:
    turns = "rollout: {multi_turn: python_tool, multi_turn_kwargs: {timeout: 1.0}}\n"
    drawn = MODEL + "data: {dataset: demo:prompts}\nreward: {orms: [math]}\n"

    plan = plan_of(drawn + turns + "train: {stage: online_dpo, loss_type: ipo}\n")
    (refused,) = problems_of(
        "model: {model_id: demo:tiny, teacher_model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"
        + turns
        + "train: {stage: gkd}\n"
    )
    (unknown,) = problems_of(drawn + "rollout: {multi_turn: python_tol}\ntrain: {stage: grpo}\n")

    assert plan.multi_turn is not None
    assert plan.multi_turn.options == {"timeout": 1.0}
    assert plan.multi_turn in plan.parts
    assert (refused.code, refused.message) == ("multi-turn-stage", "stage 'gkd' draws answers of one turn")
    assert "Did you mean 'python_tool'?" in unknown.message


def test_pairs_of_own_answers_need_two_answers_and_no_reference_before(problems_of: ProblemsOf) -> None:
    found = problems_of(
        MODEL + "data: {dataset: demo:prompts}\nreward: {orms: [math]}\nrollout: {num_generations: 1}\n"
        "train: {stage: online_dpo, precompute_ref_log_probs: true}\n"
    )

    assert {problem.code for problem in found} == {"too-few-answers", "contradiction"}
