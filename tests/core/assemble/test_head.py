"""New heads: drawn by the seed alone, kept in float32, and loaded again as they were saved."""

import json
from dataclasses import replace

import pytest
import torch

from swift_core.assemble.head import read_head
from swift_core.assemble.kinds.heads import named
from swift_core.assemble.model import Loading, load_weights
from swift_core.assemble.scoring import ScoreHead
from swift_core.builtins.tuners.full import Full
from swift_core.builtins.tuners.lora import Lora

HEADS = [("sequence_classification", 3), ("token_classification", 2)]
BATCH = {"input_ids": torch.tensor([[7, 8, 9, 10]]), "attention_mask": torch.ones(1, 4, dtype=torch.int64)}

heads = pytest.mark.parametrize(("head", "num_labels"), HEADS)


def loading(head, num_labels, **keys):
    return Loading(head=head, head_config=named([str(index) for index in range(num_labels)]), **keys)


def logits(model):
    with torch.no_grad():
        return ScoreHead(model).logits(model.eval(), BATCH)


@heads
def test_a_new_head_depends_on_the_seed_alone(tiny_folder, head, num_labels):
    how = loading(head, num_labels, seed=3)
    first = load_weights(tiny_folder, how).score.weight
    torch.manual_seed(99)
    torch.testing.assert_close(load_weights(tiny_folder, how).score.weight, first, rtol=0, atol=0)
    torch.testing.assert_close(
        load_weights(tiny_folder, replace(how, dtype="bfloat16")).score.weight, first, rtol=0, atol=0
    )
    assert not torch.equal(load_weights(tiny_folder, replace(how, seed=4)).score.weight, first)


@heads
def test_the_head_stays_in_float32_beside_narrower_weights(tiny_folder, head, num_labels):
    model = load_weights(tiny_folder, loading(head, num_labels, dtype="bfloat16"))
    assert {parameter.dtype for parameter in model.score.parameters()} == {torch.float32}
    assert model.model.embed_tokens.weight.dtype == torch.bfloat16
    assert torch.isfinite(logits(model)).all()


@heads
@pytest.mark.parametrize("tuner", [Lora(), Full()], ids=["lora", "full"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_was_saved_gives_the_same_logits_bit_for_bit(tiny_folder, tmp_path, head, num_labels, tuner, dtype):
    how = loading(head, num_labels, dtype=dtype)
    trained = tuner.prepare_model(load_weights(tiny_folder, how))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
    tuner.save_pretrained(trained, tmp_path)
    again = tuner.from_pretrained(load_weights(tiny_folder, replace(how, seed=7)), tmp_path)
    assert torch.equal(logits(again), logits(trained))


@heads
def test_an_adapter_trains_the_whole_head_and_no_adapter_on_it(tiny_folder, head, num_labels):
    model = Lora().prepare_model(load_weights(tiny_folder, loading(head, num_labels)))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any("score.modules_to_save" in name for name in trained)
    assert not any("score" in name and "lora" in name for name in trained)
    assert sum(p.numel() for n, p in model.named_parameters() if n in trained and "score" in n) in (3 * 32, 2 * 32 + 2)


@heads
def test_the_configuration_has_the_labels(tiny_folder, head, num_labels):
    config = load_weights(tiny_folder, loading(head, num_labels)).config
    assert config.id2label == {index: str(index) for index in range(num_labels)}


def test_weights_that_are_missing_elsewhere_are_still_an_error(tiny_folder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_folder, tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors of the model, model\.norm\.weight among them"):
        load_weights(folder, loading("sequence_classification", 2))


def test_a_folder_without_a_head_file_is_a_language_model(tmp_path):
    assert read_head(tmp_path).name == "causal_lm"


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"model_head": "x"})])
def test_a_broken_head_file_is_told(tmp_path, content):
    (tmp_path / "head.json").write_text(content)
    with pytest.raises(ValueError, match=r"head\.json cannot be read: "):
        read_head(tmp_path)
