"""Four bits on a GPU, eight on a CPU, where bitsandbytes is installed."""

import pytest
import torch

from swift_core.assemble.model import Loading, load_weights
from swift_core.builtins.tuners.lora import Lora
from swift_core.builtins.tuners.qlora import QLora

IDS = torch.tensor([[5, 6, 7, 8]])


BITS = 4 if torch.cuda.is_available() else 8


@pytest.fixture
def quantised(tiny_folder):
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    return load_weights(tiny_folder, Loading(quantization_bit=BITS))


@pytest.mark.filterwarnings("ignore")  # bitsandbytes tells of kernels that it looked for in vain
def test_adapters_are_trained_beside_quantised_weights_and_read_back(quantised, tiny_folder, tmp_path):
    tuner = QLora()
    prepared = tuner.prepare_model(quantised)
    before = prepared(input_ids=IDS).logits.detach()
    optimizer = torch.optim.Adam([value for value in prepared.parameters() if value.requires_grad], lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        prepared(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
    after = prepared(input_ids=IDS).logits.detach()
    assert (after - before).abs().max() > 1e-2
    with torch.no_grad(), tuner.reference(prepared):
        torch.testing.assert_close(prepared(input_ids=IDS).logits, before)
    tuner.save_pretrained(prepared, tmp_path)
    again = tuner.from_pretrained(load_weights(tiny_folder, Loading(quantization_bit=BITS)), tmp_path)
    torch.testing.assert_close(again(input_ids=IDS).logits.detach(), after)


def test_initial_weights_that_change_the_base_are_refused_beside_quantised_ones(tiny_folder):
    model = load_weights(tiny_folder, Loading())
    model.is_quantized = True
    with pytest.raises(ValueError, match="pissa changes the base weights, and quantised ones cannot be changed"):
        Lora(init_lora_weights="pissa").prepare_model(model)
