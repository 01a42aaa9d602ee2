"""Live parts without a run file: a random tiny model, rows of random tokens."""

from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from swift_core.contracts.handover import Parts
from swift_core.contracts.parallel import Parallel
from swift_core.contracts.plugin import PluginSpec
from swift_core.contracts.settings import DataSettings, ModelSettings, RunSettings, TrainSettings
from swift_core.plugins.hooks import manager

VOCABULARY = 61


def build_llama(seed=0):
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
        )
    )


@pytest.fixture
def tiny_llama():
    """Return a function (seed) -> a random Llama; seed 0 is the model of `make_parts`."""
    return build_llama


class Frozen:
    """A tuner that trains all weights and has no reference of its own."""

    def reference(self, model):
        return None


def settings(**train):
    train = {"learning_rate": 0.1, "save_strategy": "no", "max_steps": 1, "logging_steps": 1, **train}
    return RunSettings(
        model=ModelSettings(model_id="none"),
        data=DataSettings(dataset="none", shuffle=False),
        train=TrainSettings(**train),
    )


@pytest.fixture
def make_parts(tmp_path):
    """Return a function (loss, rows, collator, **train settings) -> Parts."""

    def make(loss, rows, collator, reference=None, **train):
        part = SimpleNamespace(
            plugin=PluginSpec("loss", "tried", "acme:tried", "acme", "1", "wheel"),
            key="train.loss_type",
        )
        plan = SimpleNamespace(
            settings=settings(**train),
            loss=part,
            config=SimpleNamespace(place=lambda key: None, path="run.yaml"),
            parallel=Parallel("single", 1, 1, {}),
        )
        return Parts(
            plan=plan,
            directory=tmp_path / "run",
            cache=tmp_path / "cache",
            model=build_llama(),
            tokenizer=None,
            encoder=None,
            tuner=Frozen(),
            procedure=None,
            loss=loss,
            reference=reference,
            teacher=None,
            train_dataset=rows,
            eval_dataset=rows,
            eval_records=[],
            collator=collator,
            make_optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
            make_scheduler=lambda optimizer, warmup, total: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
            metrics=[],
            rewards=[],
            engine=None,
            callbacks=[],
            hooks=manager([]),
        )

    return make
