"""TR-DPO: the reference becomes the mixture the paper writes, of an adapted policy too, and survives a checkpoint."""

import copy

import peft
import pytest
import torch

from swift_core.assemble.kinds.pairs import PairCollator
from swift_core.builtins.tuners._adapter import without_peft_warnings
from swift_core.errors import SwiftError
from swift_core.train.preference import Preference
from swift_core.train.reference_updates import FILE, ReferenceUpdates
from swift_loss_zoo.pair.dpo import DPO

ROWS = [
    {"prompt_ids": [1, 2], "chosen_ids": [3, 4, 5], "rejected_ids": [6, 7], "margin": 0.0, "row": 0},
    {"prompt_ids": [9], "chosen_ids": [8], "rejected_ids": [7, 6, 5, 4], "margin": 0.0, "row": 1},
]


def build(make_parts, model=None, reference=None, **train):
    train = {"sync_ref_model": True, "ref_model_sync_steps": 1, "max_steps": 4, **train}
    parts = make_parts(DPO(), ROWS, PairCollator(0), reference=reference, **train)
    parts.reference = reference if reference is not None else copy.deepcopy(parts.model)
    if model is not None:
        parts.model = model(parts.model)
    return Preference.build(parts)


def adapted(**options):
    def apply(model):
        torch.manual_seed(3)
        config = peft.LoraConfig(
            r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, modules_to_save=["norm"], **options
        )
        with without_peft_warnings():
            return peft.get_peft_model(model, config)

    return apply


def by_name(model):
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("alpha", [0.25, 0.6, 1.0])
def test_an_adapted_policy_is_mixed_as_its_merged_weights(make_parts, alpha):
    trainer = build(make_parts, adapted(), ref_model_mixup_alpha=alpha)
    before = by_name(trainer.parts.reference)
    trainer.train()
    # Four updates along the way; the last is checked against peft's own merge after it.
    old = by_name(trainer.parts.reference)
    updates = next(c for c in trainer.callback_handler.callbacks if isinstance(c, ReferenceUpdates))
    updates._mix()
    merged = by_name(copy.deepcopy(trainer.parts.model).merge_and_unload())
    new = by_name(trainer.parts.reference)
    for name, weight in new.items():
        torch.testing.assert_close(weight, alpha * merged[name] + (1 - alpha) * old[name], atol=1e-6, rtol=1e-5)
    changed = {name for name in new if not torch.equal(new[name], before[name])}
    assert changed == {name for name in new if "q_proj" in name or "v_proj" in name or "norm" in name}


def test_updates_come_only_at_their_interval(make_parts):
    trainer = build(make_parts, ref_model_sync_steps=3, ref_model_mixup_alpha=1.0, max_steps=2)
    before = by_name(trainer.parts.reference)
    trainer.train()
    assert all(torch.equal(weight, before[name]) for name, weight in by_name(trainer.parts.reference).items())
    further = build(make_parts, ref_model_sync_steps=3, ref_model_mixup_alpha=1.0, max_steps=3)
    further.train()
    policy = by_name(further.parts.model)
    assert all(torch.equal(weight, policy[name]) for name, weight in by_name(further.parts.reference).items())


def test_a_resumed_run_has_the_reference_of_the_run_that_went_on(make_parts):
    options = {"ref_model_mixup_alpha": 0.5, "save_strategy": "steps", "save_steps": 2}
    whole = build(make_parts, adapted(), **options)
    whole.train()
    checkpoint = whole.parts.directory / "checkpoint-2"
    assert (checkpoint / FILE).exists()
    resumed = build(make_parts, adapted(), **options)
    resumed.parts.resume_from = checkpoint
    again = next(c for c in resumed.callback_handler.callbacks if isinstance(c, ReferenceUpdates))
    again._resume = checkpoint
    resumed.train(resume_from_checkpoint=str(checkpoint))
    expected = by_name(whole.parts.reference)
    assert all(torch.equal(weight, expected[name]) for name, weight in by_name(resumed.parts.reference).items())


def test_an_update_that_is_no_added_matrix_is_refused(make_parts):
    with pytest.raises(SwiftError, match="DoRA"):
        build(make_parts, adapted(use_dora=True))


def test_a_reference_of_another_shape_is_refused(make_parts):
    from transformers import LlamaConfig, LlamaForCausalLM

    other = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=61, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1,
        )
    )  # fmt: skip
    with pytest.raises(SwiftError, match="no weight"):
        build(make_parts, reference=other)
