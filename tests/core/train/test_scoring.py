"""A step of a classification head is the mean over its items, read at the last token that the mask shows."""

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForSequenceClassification, LlamaForTokenClassification

from swift_core.assemble.kinds.classes import SINGLE, ClassCollator
from swift_core.assemble.kinds.scores import ScoreCollator
from swift_core.assemble.kinds.steps import StepCollator
from swift_core.assemble.scoring import ScoreHead, last_token
from swift_core.errors import SwiftError
from swift_core.train.classification import Classification
from swift_core.train.process_reward import ProcessReward
from swift_core.train.reward_model import RewardModelling
from swift_loss_zoo.classify.class_cross_entropy import ClassCrossEntropy
from swift_loss_zoo.score.prm import PRM
from swift_loss_zoo.score.reward_model import RewardModel

END = 5
"""The padding token and the last token of every text: the trap of pooling by token id."""

LENGTHS = (3, 9, 5, 12, 4, 7, 10, 6)


def make_model(kind, num_labels):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=END,
        num_labels=num_labels,
        classifier_dropout=0.0,
    )
    return kind(config)


def draw(length, seed):
    generator = torch.Generator().manual_seed(seed)
    return [*torch.randint(6, 61, (length - 1,), generator=generator).tolist(), END]


def hidden(model, ids):
    """Return the last hidden states of one row without padding, [time, hidden]."""
    return model.model(torch.tensor([ids])).last_hidden_state[0]


CLASS_ROWS = [{"input_ids": draw(n, i), "class_label": i % 3, "row": i} for i, n in enumerate(LENGTHS)]
SCORE_ROWS = [
    {"chosen_ids": draw(n, i), "rejected_ids": draw(15 - n, 10 + i), "margin": i / 4, "row": i}
    for i, n in enumerate(LENGTHS)
]
STEP_ROWS = [
    {"input_ids": draw(n, i), "labels": [t / n if t % 2 else -100.0 for t in range(n)], "row": i}
    for i, n in enumerate(LENGTHS)
]


def class_loss(model):
    logits = torch.stack([model.score(hidden(model, row["input_ids"])[-1]) for row in CLASS_ROWS])
    return F.cross_entropy(logits, torch.tensor([row["class_label"] for row in CLASS_ROWS]))


def score_loss(model):
    losses = []
    for row in SCORE_ROWS:
        chosen, rejected = (model.score(hidden(model, row[f"{side}_ids"])[-1]) for side in ("chosen", "rejected"))
        losses.append(-F.logsigmoid(chosen - rejected - row["margin"]) + 0.1 * (chosen + rejected) ** 2)
    return torch.stack(losses).mean()


def step_loss(model):
    losses = []
    for row in STEP_ROWS:
        logps = model.score(hidden(model, row["input_ids"])).log_softmax(-1)
        labels = torch.tensor(row["labels"])
        scored = labels != -100
        losses.append(-(labels * logps[:, 1] + (1 - labels) * logps[:, 0])[scored])
    return torch.cat(losses).mean()


CASES = {
    "seq_cls": (
        Classification, LlamaForSequenceClassification, 3, ClassCrossEntropy(), CLASS_ROWS, ClassCollator(END, SINGLE),
        class_loss,
    ),
    "rm": (
        RewardModelling, LlamaForSequenceClassification, 1, RewardModel(center_rewards_coefficient=0.1), SCORE_ROWS,
        ScoreCollator(END), score_loss,
    ),
    "prm": (ProcessReward, LlamaForTokenClassification, 2, PRM(), STEP_ROWS, StepCollator(END), step_loss),
}  # fmt: skip


@pytest.fixture
def build(make_parts):
    """Return a function (stage, train settings) -> its procedure on a random tiny model, and the slow loss."""

    def make(stage, **train):
        procedure, kind, num_labels, loss, rows, collator, slow = CASES[stage]
        parts = make_parts(loss, rows, collator, **train)
        parts.model = make_model(kind, num_labels)
        return procedure.build(parts), make_model(kind, num_labels), slow

    return make


@pytest.mark.parametrize("stage", CASES)
@pytest.mark.parametrize("split", [1, 4, 8])
def test_a_step_is_that_of_a_loop_over_rows_without_padding(build, stage, split):
    trainer, model, slow = build(
        stage, per_device_train_batch_size=len(LENGTHS) // split, gradient_accumulation_steps=split
    )
    trainer.train()
    slow(model).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for (name, trained), parameter in zip(trainer.module.named_parameters(), model.parameters(), strict=True):
        expected = parameter - 0.1 * parameter.grad
        torch.testing.assert_close(
            trained, expected, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("stage", CASES)
def test_evaluation_is_the_mean_over_all_items(build, stage):
    trainer, model, slow = build(stage, per_device_eval_batch_size=3)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(slow(model.eval()).item(), rel=1e-5)


def test_transformers_itself_pools_another_token_where_texts_end_in_the_padding_token():
    """This is why the mask decides: should it begin to pass, pooling could be left to transformers."""
    model = make_model(LlamaForSequenceClassification, 3).eval()
    batch = ClassCollator(END, SINGLE)(CLASS_ROWS)
    ours = last_token(ScoreHead(model).logits(model, batch), batch["attention_mask"])
    theirs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert not torch.allclose(ours, theirs)


@pytest.mark.parametrize("sides", [([0, 0, 1, 1], 3), ([1, 1, 1, 0], 2), ([1, 0, 0, 0], 0), ([0, 1, 1, 0], 2)])
def test_the_last_token_is_the_last_that_the_mask_shows(sides):
    mask, last = sides
    assert last_token(torch.arange(4)[None], torch.tensor([mask])).item() == last


@pytest.mark.parametrize("stage", CASES)
def test_the_head_is_proved_before_training(build, stage):
    trainer, _, _ = build(stage)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    trainer.prove(batch)
    trainer.score_head.module.register_forward_hook(lambda _module, _inputs, output: 2 * output, prepend=False)
    trainer.prove(batch)  # what is captured is what the model goes on with


def test_a_model_that_scores_by_something_else_is_refused(build, monkeypatch):
    trainer, _, _ = build("prm")
    forward = trainer.module.forward

    def doubled(*arguments, **keywords):
        output = forward(*arguments, **keywords)
        output.logits = 2 * output.logits
        return output

    monkeypatch.setattr(trainer.module, "forward", doubled)
    with pytest.raises(SwiftError, match="LlamaForTokenClassification does not score a text by its head's output"):
        trainer.prove(trainer.data_collator([trainer.train_dataset[0]]))


def test_a_loss_that_cannot_take_the_labels_stops_the_run_before_training(build):
    trainer, _, _ = build("seq_cls")
    trainer.loss_call = type(trainer.loss_call)(ClassCrossEntropy(class_weights=[1.0, 2.0]))
    with pytest.raises(SwiftError, match="class_weights must have one value a class, 3 in all, got 2"):
        trainer.prove(trainer.data_collator([trainer.train_dataset[0]]))
