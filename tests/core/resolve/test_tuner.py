import pytest

from swift_core.resolve.tuner import ALIASES

RUN = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_a_name_from_elsewhere_is_a_tuner_here_and_the_plan_says_which(plan_of, name):
    plan = plan_of(f"{RUN}train: {{tuner_strategy: {name}}}\n")
    assert plan.tuner.plugin.name == ALIASES[name].name
    assert dict(plan.tuner.options) == ALIASES[name].options
    assert f"train.tuner_strategy: {name} means {ALIASES[name]}" in plan.notes


def test_an_option_of_the_run_file_wins_over_what_a_name_means(plan_of):
    plan = plan_of(f"{RUN}train: {{tuner_strategy: lora+, tuner_kwargs: {{loraplus_lr_ratio: 4.0}}}}\n")
    assert dict(plan.tuner.options) == {"loraplus_lr_ratio": 4.0}


@pytest.mark.parametrize("tuner", ["prompt", "prefix"])
@pytest.mark.parametrize("key", ["packing: true", "share_prompt: true, stage: dpo", "sync_ref_model: true, stage: dpo"])
def test_virtual_tokens_do_not_go_with_rows_in_lines(problems_of, tuner, key):
    data = RUN.replace("demo:chat", "demo:preference") if "dpo" in key else RUN
    (problem,) = problems_of(f"{data}train: {{tuner_strategy: {tuner}, {key}}}\n")
    assert problem.code == "tuner-conflict"
    assert f"does not go with the tuner '{tuner}'" in problem.message


def test_virtual_tokens_are_not_put_before_the_rows_of_a_classifier(problems_of):
    (problem,) = problems_of(f"{RUN.replace('chat', 'preference')}train: {{tuner_strategy: prompt, stage: rm}}\n")
    assert problem.message == ("the tuner 'prompt' cannot be applied to a classifier of texts, which stage 'rm' trains")


def test_quantised_weights_that_are_switched_off_do_not_go_with_qlora(problems_of):
    text = RUN.replace("demo:tiny", "demo:tiny, quantization_bit: 0") + "train: {tuner_strategy: qlora}\n"
    assert [problem.code for problem in problems_of(text)] == ["tuner-conflict"]


@pytest.mark.parametrize(("name", "said"), [("galore", "optimizer_type: galore_adamw"), ("bitfit", "'*.bias'")])
def test_names_that_mean_something_else_are_told_what_to_write(problems_of, name, said):
    (problem,) = problems_of(f"{RUN}train: {{tuner_strategy: {name}}}\n")
    assert problem.code == "not-here"
    assert said in problem.message


@pytest.mark.parametrize("option", ["adapter: runs/first", "init_lora_weights: olora"])
def test_first_weights_are_not_kept_where_weights_are_shared_out(problems_of, option):
    device = "device: {parallel_method: fsdp2, num_processes: 2}\n"
    problems = problems_of(f"{RUN}train: {{tuner_kwargs: {{{option}}}}}\n{device}", planning=True)
    assert [problem.code for problem in problems] == ["tuner-conflict"]
    assert f"{option} of the tuner 'lora' keeps the first weights whole" in problems[0].message
