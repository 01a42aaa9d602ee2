"""Virtual tokens against a model that is given their embeddings, or their keys and values, by hand."""

import pytest
import torch

from swift_core.assemble.model import Loading, load_weights
from swift_core.builtins.tuners.prefix import Prefix
from swift_core.builtins.tuners.prompt import Prompt
from swift_core.train.forward import OutputHead
from swift_core.train.logps import token_scores

IDS = torch.tensor([[5, 6, 7, 8, 9], [11, 12, 13, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
TUNERS = [Prompt(num_virtual_tokens=3), Prefix(num_virtual_tokens=3)]


@pytest.fixture
def model(tiny_folder):
    return load_weights(tiny_folder, Loading()).eval()


def test_prompt_tuning_is_the_model_on_its_embeddings_followed_by_the_rows(model):
    base = model.get_input_embeddings()(IDS).detach()
    prepared = Prompt(num_virtual_tokens=3).prepare_model(model).eval()
    virtual = prepared.prompt_encoder["default"].embedding.weight.detach()
    with torch.no_grad():
        ours = prepared(input_ids=IDS, attention_mask=MASK).logits
        joined = torch.cat([virtual.expand(2, -1, -1), base], 1)
        mask = torch.cat([torch.ones(2, 3, dtype=torch.long), MASK], 1)
        theirs = model(inputs_embeds=joined, attention_mask=mask).logits[:, 3:]
    assert ours.shape[:2] == IDS.shape
    torch.testing.assert_close(ours[MASK.bool()], theirs[MASK.bool()], atol=1e-6, rtol=1e-5)


def test_text_that_is_named_is_where_the_embeddings_begin(model, tiny_folder):
    from swift_core.assemble.model import load_tokenizer

    text = "What colour is the sky?"
    ids = load_tokenizer(tiny_folder)(text, add_special_tokens=False)["input_ids"]
    prepared = Prompt(num_virtual_tokens=2, init_text=text).prepare_model(model)
    begun = prepared.prompt_encoder["default"].embedding.weight
    assert torch.equal(begun, model.get_input_embeddings().weight[ids[:2]])


@pytest.mark.parametrize("tuner", TUNERS, ids=str)
def test_the_head_is_reached_with_one_hidden_state_for_each_real_token(model, tuner):
    prepared = tuner.prepare_model(model).eval()
    head = OutputHead(prepared)
    batch = {"input_ids": IDS, "attention_mask": MASK}
    head.prove(prepared, batch)
    with torch.no_grad():
        hidden = head.hidden(prepared, batch)
        logits = prepared(**batch).logits
    scores = token_scores(hidden[:, :-1][MASK[:, 1:].bool()], head.call, IDS[:, 1:][MASK[:, 1:].bool()])
    slow = logits[:, :-1].double().log_softmax(-1).gather(-1, IDS[:, 1:, None])[..., 0][MASK[:, 1:].bool()]
    torch.testing.assert_close(scores.logps.double(), slow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tuner", TUNERS, ids=str)
def test_answers_are_those_that_the_logits_say_also_for_padded_prompts(model, tuner):
    prepared = tuner.prepare_model(model).eval()
    ids = IDS[1:, :3]
    for _ in range(4):
        with torch.no_grad():
            likeliest = prepared(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, likeliest[:, None]], 1)
    padded, mask = torch.tensor([[5, 6, 7, 8, 9], [0, 0, 11, 12, 13]]), MASK.flip(1)
    answered = prepared.generate(
        input_ids=padded, attention_mask=mask, max_new_tokens=4, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert answered[1, -4:].tolist() == ids[0, -4:].tolist()
