import pytest
import torch

from swift_core.assemble.encoder import HfEncoder
from swift_core.assemble.generate import generate, stop_ids
from swift_core.assemble.model import Loading, load_tokenizer, load_weights

PROMPTS = [
    [{"role": "user", "content": "What colour is the sky?"}],
    "What is",
    [{"role": "system", "content": "Use a box."}, {"role": "user", "content": "What is 3 + 4?"}],
]


@pytest.fixture
def model(tiny_folder):
    return load_weights(tiny_folder, Loading())


@pytest.fixture
def encoder(tiny_folder):
    return HfEncoder(load_tokenizer(tiny_folder))


@torch.no_grad()
def greedy(model, encoder, prompt, num_tokens):
    """Return the likeliest tokens one by one, without cache, padding or batch."""
    if isinstance(prompt, str):
        ids = encoder.encode(prompt)
    else:
        ids = encoder.encode(encoder.render(prompt, add_generation_prompt=True))
    start = len(ids)
    for _ in range(num_tokens):
        token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token == encoder.eos_token_id:
            break
        ids.append(token)
    return encoder.decode(ids[start:])


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_of_prompts_answer_as_each_alone(model, encoder, batch_size):
    expected = [greedy(model, encoder, prompt, 6) for prompt in PROMPTS]
    assert generate(model, encoder, PROMPTS, max_new_tokens=6, batch_size=batch_size) == expected
    assert all(expected)


def test_an_answer_ends_before_the_end_of_its_turn(model, encoder):
    with torch.no_grad():
        weight = model.lm_head.weight
        weight.zero_()
        weight[encoder.eos_token_id] = model.model(input_ids=torch.tensor([[5]]))[0][0, -1]
    answer = generate(model, encoder, ["x"], max_new_tokens=20)[0]
    assert "<|im_end|>" not in answer


def test_the_templates_end_of_turn_stops_too(model, encoder, tiny_folder):
    tokenizer = load_tokenizer(tiny_folder)
    tokenizer.eos_token = "<|endoftext|>"
    model.generation_config.eos_token_id = None
    other = HfEncoder(tokenizer)
    assert stop_ids(model, other) == [tokenizer.eos_token_id, encoder.eos_token_id]


def test_every_modules_training_mode_is_put_back(model, encoder):
    model.train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    generate(model, encoder, ["x"], max_new_tokens=1)
    assert [module.training for module in model.modules()] == before


def test_training_goes_on_after_generating(model, encoder):
    generate(model, encoder, ["What is"], max_new_tokens=2)
    ids = torch.tensor([[5, 6, 7]])
    model(input_ids=ids, labels=ids).loss.backward()
    assert model.model.embed_tokens.weight.grad.abs().sum() > 0


def test_a_temperature_draws_from_the_generator_of_torch(model, encoder):
    answers = set()
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        answers.add(generate(model, encoder, ["What is"], max_new_tokens=8, temperature=5.0)[0])
    assert len(answers) == 2


def test_no_prompts_have_no_answers(model, encoder):
    assert generate(model, encoder, []) == []
