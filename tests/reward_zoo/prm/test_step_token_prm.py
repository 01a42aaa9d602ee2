"""What a model says at the token that ends each step, against its own forward pass on one text."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

from swift_core.assemble.rewards import adapt_reward
from swift_core.plugin_api import InferRequest, RewardInputs
from swift_reward_zoo.prm.step_token_prm import StepTokenPrm

ANSWER = "3 + 4 = 7\nSo it is 7\n"


def request(answer):
    return InferRequest(messages=[{"role": "user", "content": "What is 3 + 4?"}], response=answer)


def prm(folder, **options):
    given = {"step_token": "#", "style": "lines", "use_chat_template": False, "batch_size": 2}
    return StepTokenPrm(model=str(folder), **(given | options))


@pytest.fixture(scope="module")
def classifier(tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(tiny_folder, num_labels=2)
    model = AutoModelForTokenClassification.from_config(config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(folder)
    return folder


def pieces(folder, answer):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    opening = tokenizer("")["input_ids"]
    ids, ends = opening + tokenizer.encode("What is 3 + 4?", add_special_tokens=False), []
    for step in answer.splitlines(keepends=True):
        ids = ids + tokenizer.encode(step, add_special_tokens=False) + tokenizer.encode("#", add_special_tokens=False)
        ends.append(len(ids) - 1)
    return torch.tensor([ids]), ends, tokenizer


def test_a_language_model_is_asked_for_two_tokens(tiny_folder):
    ids, ends, tokenizer = pieces(tiny_folder, ANSWER)
    good, bad = (tokenizer.encode(sign, add_special_tokens=False)[0] for sign in "+-")
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(tiny_folder)(ids).logits[0, ends].double()
    expected = 1 / (1 + torch.exp(logits[:, bad] - logits[:, good]))
    longer = ANSWER + "And that is all there is to say about it\n"
    steps = prm(tiny_folder)([request(longer), request(""), request(ANSWER)])
    assert steps[2] == pytest.approx(expected.tolist(), abs=1e-5)
    assert [len(each) for each in steps] == [3, 0, 2]
    assert steps[0][:2] == pytest.approx(steps[2], abs=1e-5)


def test_a_token_classifier_is_asked_for_its_class(classifier):
    ids, ends, _ = pieces(classifier, ANSWER)
    with torch.no_grad():
        logits = AutoModelForTokenClassification.from_pretrained(classifier)(ids).logits[0, ends].double()
    (steps,) = prm(classifier, head="token_classification")([request(ANSWER)])
    assert steps == pytest.approx(logits.softmax(-1)[:, 1].tolist(), abs=1e-5)
    (others,) = prm(classifier, head="token_classification", right_class=0)([request(ANSWER)])
    assert others == pytest.approx([1 - step for step in steps], abs=1e-5)


def test_a_model_without_the_head_is_refused_and_none_is_drawn(tiny_folder):
    with pytest.raises(ValueError, match="not one ForTokenClassification"):
        prm(tiny_folder, head="token_classification")


def test_a_step_token_in_the_answer_makes_no_step(tiny_folder):
    clean, written = prm(tiny_folder)([request("3 + 4 = 7\n"), request("3 + 4# = 7\n")])
    assert written == pytest.approx(clean, abs=1e-5)


def test_a_text_that_is_too_long_is_a_failure(tiny_folder):
    scores = adapt_reward("p", prm(tiny_folder, max_length=30))
    scores = replace(scores, aggregate="min", policy=replace(scores.policy, on_error="mask", max_failure_rate=0.9))
    found = scores.score(RewardInputs([request("3\n"), request("7 " * 40)], [None] * 2))
    assert found[0] is not None
    assert found[1] is None
    assert "more than max_length 30" in found.failures[1].message


def test_tokens_that_are_several_are_refused(tiny_folder):
    with pytest.raises(ValueError, match="good must be one token"):
        prm(tiny_folder, good="good step, well done")([request(ANSWER)])
