"""One optimizer step of every loss that a stage feeds: its mean loss and its gradient, however the step is cut.

As a program it is one of several processes, each with its share of the rows in two micro-batches; the first writes
what came of it:

    python -m torch.distributed.run --standalone --nproc-per-node 2 tests/runs/invariance.py OUT.pt
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.nn.parallel import DistributedDataParallel
from transformers import (
    CLIPConfig,
    CLIPModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
)

from swift_core.assemble.kinds.classes import MULTI, NUMBERS, SINGLE, ClassCollator
from swift_core.assemble.kinds.image_texts import ImageTextCollator
from swift_core.assemble.kinds.kind import IGNORED, padded
from swift_core.assemble.kinds.pairs import PairCollator
from swift_core.assemble.kinds.scores import ScoreCollator
from swift_core.assemble.kinds.steps import StepCollator
from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.assemble.kinds.unpaired import UnpairedCollator, UnpairedRows
from swift_core.contracts.handover import Parts
from swift_core.contracts.parallel import parallel_of
from swift_core.contracts.settings import DataSettings, DeviceSettings, ModelSettings, RunSettings, TrainSettings
from swift_core.plugins.building import build
from swift_core.plugins.hooks import manager
from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed
from swift_core.train.classification import Classification
from swift_core.train.contrastive import Contrastive
from swift_core.train.distill import Distillation
from swift_core.train.forward import OutputHead
from swift_core.train.ledger import LossCall
from swift_core.train.policy.procedure import Policy
from swift_core.train.preference import Preference
from swift_core.train.process_reward import ProcessReward
from swift_core.train.reference import reference_of
from swift_core.train.reward_model import RewardModelling
from swift_core.train.statistics import Coupling
from swift_core.train.supervised import Supervised
from swift_core.train.trainer import SwiftTrainer
from swift_core.train.unpaired import Unpaired

VOCABULARY = 61
LENGTHS = (3, 9, 5, 12, 4, 7, 10, 6)
"""Tokens of the rows' answers: every micro-batch has another mean and another longest row."""

UNFED = {"ppo": "values"}
"""Losses of a family that a stage feeds, by what it does not give them."""


def draw(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCABULARY, (count,), generator=generator).tolist()


def token_rows():
    rows = []
    for index, length in enumerate(LENGTHS):
        ids = draw(length + 2, index)
        scale = [0.5 if place % 3 == index % 3 else 2.0 for place in range(len(ids))]
        rows.append({"input_ids": ids, "labels": [IGNORED] * 2 + ids[2:], "row": index, "loss_scale": scale})
    return rows


def pair_rows():
    return [
        {
            "prompt_ids": draw(3, index),
            "chosen_ids": draw(length, 10 + index),
            "rejected_ids": draw(13 - length, 20 + index),
            "gold_ids": draw(2 + index, 30 + index),
            "margin": index / 4,
            "row": index,
        }
        for index, length in enumerate(LENGTHS)
    ]


def unpaired_rows():
    rows = [
        {
            "prompt_ids": draw(3, index),
            "completion_ids": draw(length, 10 + index),
            "desirable": index % 3 == 0,
            "row": index,
            "prompt": str(index),
        }
        for index, length in enumerate(LENGTHS)
    ]
    return UnpairedRows().finish(rows)


def class_rows(label):
    ids = enumerate(LENGTHS)
    return [{"input_ids": draw(length, index), "class_label": label(index), "row": index} for index, length in ids]


def score_rows():
    return [
        {"chosen_ids": draw(n, i), "rejected_ids": draw(13 - n, 10 + i), "margin": i / 4, "row": i}
        for i, n in enumerate(LENGTHS)
    ]


def step_rows():
    rows = []
    for index, length in enumerate(LENGTHS):
        labels = [IGNORED if place % 2 else float(place % 4 == 0) for place in range(length)]
        rows.append({"input_ids": draw(length, index), "labels": labels, "row": index})
    return rows


def sampled_rows():
    numbers = torch.rand(2, len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(7))
    return [
        {
            "prompt_ids": draw(3, index),
            "answer_ids": draw(length, 10 + index),
            "advantage": float(numbers[0, index, 0]) - 0.4,
            "old_logps": (-8 * numbers[1, index, :length]).tolist(),
        }
        for index, length in enumerate(LENGTHS)
    ]


def image_text_rows():
    """Texts end in token 1, at which they are read."""
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randn(len(LENGTHS), 3, 8, 8, generator=generator)
    rows = enumerate(LENGTHS)
    return [
        {"input_ids": [*draw(length, index), 1], "keys": [index, index], "row": index, "pixels": pixels[index]}
        for index, length in rows
    ]


def collate_images(rows):
    pixels = torch.stack([row["pixels"] for row in rows])
    return ImageTextCollator(0)(rows) | {"vision": {"pixel_values": pixels}}


def collate_sampled(rows):
    batch = padded(
        [row["prompt_ids"] + row["answer_ids"] for row in rows],
        [[IGNORED] * len(row["prompt_ids"]) + row["answer_ids"] for row in rows],
        0,
    )
    old = torch.nn.utils.rnn.pad_sequence([torch.tensor(row["old_logps"]) for row in rows], batch_first=True)
    return batch | {"old_logps": old, "advantages": torch.tensor([row["advantage"] for row in rows])}


class Sampled(Policy):
    """The stage grpo with answers that were drawn before."""

    def __init__(self, parts):
        SwiftTrainer.__init__(self, parts)
        self.reference = reference_of(parts, self.head)

    def prepare_step(self, batches):
        return batches


class Taught(Distillation):
    """The stage gkd with the answers of the data."""

    def __init__(self, parts):
        Supervised.__init__(self, parts)
        self.teacher, self.teacher_head = parts.teacher, OutputHead(parts.teacher)

    def prepare_step(self, batches):
        return batches


class WithBias(CLIPModel):
    """A model for every loss on images with texts: some read a bias."""

    def __init__(self, config):
        super().__init__(config)
        self.logit_bias = torch.nn.Parameter(torch.tensor(-1.0))


def new_clip(seed):
    """Return a tiny model with two encoders."""
    torch.manual_seed(seed)
    sides = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": 24, "bos_token_id": 0, "eos_token_id": 1, **sides}
    model = WithBias(CLIPConfig(text_config=text, vision_config={"image_size": 8, "patch_size": 4, **sides}))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.constant_(model.logit_scale, 1.0)
    return model


@dataclass(frozen=True)
class Family:
    """What a family of losses is tried on."""

    procedure: type[SwiftTrainer]
    rows: list
    collator: object
    model: type = LlamaForCausalLM
    num_labels: int = 2


LABELS = {
    "class_cross_entropy": (SINGLE, lambda index: index % 3),
    "class_focal": (MULTI, lambda index: [float(index % 2), float(index % 3 == 0), 1.0]),
    "class_squared_error": (NUMBERS, lambda index: index / 3),
}
"""By the name of a loss on classes what the labels of its rows are."""


def families():
    classes = Family(Classification, [], None, LlamaForSequenceClassification, 3)
    return {
        "TokenOutputs": Family(Supervised, token_rows(), TokenCollator(0)),
        "PairOutputs": Family(Preference, pair_rows(), PairCollator(0)),
        "UnpairedOutputs": Family(Unpaired, unpaired_rows(), UnpairedCollator(0)),
        "DistillOutputs": Family(Taught, token_rows(), TokenCollator(0)),
        "PolicyOutputs": Family(Sampled, sampled_rows(), collate_sampled),
        "ClassOutputs": classes,
        "ContrastiveOutputs": Family(Contrastive, image_text_rows(), collate_images, WithBias),
        "ScoreOutputs": Family(RewardModelling, score_rows(), ScoreCollator(0), LlamaForSequenceClassification, 1),
        "StepOutputs": Family(ProcessReward, step_rows(), StepCollator(0), LlamaForTokenClassification),
    }


def family_of(name):
    """Return the name of a loss's family."""
    spec = next(spec for spec in installed().specs("loss") if spec.name == name and spec.first_party)
    return read_source(spec).inputs[0]


def case_of(name):
    """Return what the loss `name` is tried on."""
    family = families()[family_of(name)]
    if name not in LABELS:
        return family
    kind, label = LABELS[name]
    num_labels = 1 if kind == NUMBERS else 3
    return replace(family, rows=class_rows(label), collator=ClassCollator(0, kind), num_labels=num_labels)


def loss_names():
    """Return the losses that a stage feeds."""
    fed = {read_source(spec).declared["feeds"] for spec in installed().specs("trainer") if spec.first_party}
    first = [spec for spec in installed().specs("loss") if spec.first_party]
    return sorted(spec.name for spec in first if read_source(spec).inputs[0] in fed and spec.name not in UNFED)


def new_loss(name):
    """Return the loss, built with its defaults."""
    spec = next(spec for spec in installed().specs("loss") if spec.name == name and spec.first_party)
    return build(installed().load(spec), {})


def new_model(kind, num_labels, seed):
    if kind is WithBias:
        return new_clip(seed)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=kind is LlamaForCausalLM,
        num_labels=num_labels,
        pad_token_id=0,
        classifier_dropout=0.0,
    )
    model = kind(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


class ReadsReference:
    """Stands for any loss while a trainer is built, so that it has a reference."""

    needs_reference = True

    def __call__(self, outputs):
        raise NotImplementedError


TRAINERS = {}


def trainer_of(case):
    """Return a trainer of the stage, and its model as the engine wraps it; losses take turns in it."""
    key = (case.procedure, case.num_labels)
    if key not in TRAINERS:
        TRAINERS[key] = new_trainer(case)
    return TRAINERS[key]


def new_trainer(case):
    """Return a trainer, and its model as the engine wraps it."""
    folder = Path(tempfile.mkdtemp())
    plugin = SimpleNamespace(name="tried", distribution="acme", version="1", info_command="")
    run_settings = RunSettings(
        model=ModelSettings(model_id="none"),
        data=DataSettings(dataset="none", shuffle=False),
        train=TrainSettings(save_strategy="no", max_completion_length=16),
        device=DeviceSettings(use_cpu=True),
    )
    plan = SimpleNamespace(
        settings=run_settings,
        loss=SimpleNamespace(plugin=plugin, key="train.loss_type"),
        parallel=parallel_of(run_settings.device),
        config=SimpleNamespace(place=lambda _: None),
    )
    named = dict.fromkeys(Parts.__dataclass_fields__)
    named |= {
        "plan": plan,
        "directory": folder / "run",
        "cache": folder / "cache",
        "model": new_model(case.model, case.num_labels, 0),
        "tuner": SimpleNamespace(reference=lambda _: None),
        "loss": ReadsReference(),
        "reference": new_model(case.model, case.num_labels, 1).eval(),
        "teacher": new_model(case.model, case.num_labels, 2).eval(),
        "train_dataset": case.rows,
        "collator": case.collator,
        "callbacks": [],
        "hooks": manager([]),
        "metrics": [],
        "facts": {},
    }
    trainer = case.procedure(Parts(**named))
    model = trainer.model
    if trainer.args.world_size > 1:
        model = trainer.model_wrapped = DistributedDataParallel(model)
    return trainer, model


@dataclass(frozen=True)
class Step:
    """What came of a step."""

    loss: float
    gradient: torch.Tensor
    means: dict


def step_of(name, micro_batches, *, widen=0):
    """Return one step of the loss `name` with its defaults.

    Args:
        name: The loss.
        micro_batches: The numbers of the rows of each.
        widen: Padding that is added to each on the right.
    """
    case = case_of(name)
    trainer, model = trainer_of(case)
    loss = new_loss(name)
    trainer.parts.loss, trainer.loss_call, trainer.coupling = loss, LossCall(loss), Coupling(loss, trainer._reduce)
    trainer.model.zero_grad()
    batches = [widened(case.collator([case.rows[index] for index in rows]), widen) for rows in micro_batches]
    batches, num_items = trainer.get_batch_samples(iter(batches), len(batches), trainer.args.device)
    for batch in batches:
        trainer.training_step(model, batch, num_items)
    value, _ = trainer._step.loss(trainer._reduce)
    trainer._finish_step(model)
    gradient = torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()])
    return Step(value, gradient, {key: mean.item() for key, mean in trainer.coupling.means.items()})


FILLERS = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED, "loss_scale": 0}


def widened(batch, widen):
    """Return the batch with more padding on the right of everything that has a time."""
    time = batch["input_ids"].shape[1]
    result = {}
    for key, value in batch.items():
        filler = FILLERS.get(key.removeprefix("kl_").removeprefix("gold_"))
        has_time = filler is not None and value.dim() == 2 and (key != "labels" or value.shape[1] == time)
        result[key] = torch.nn.functional.pad(value, (0, widen), value=filler) if has_time else value
    return result


def main(out):
    """Take part as one process of several; the first one writes every loss's step."""
    torch.set_num_threads(1)
    steps = {}
    for name in loss_names():
        rank, size = ranks(name)
        mine = list(range(len(LENGTHS)))[rank::size]
        half = len(mine) // 2
        step = step_of(name, [mine[:half], mine[half:]])
        steps[name] = (step.loss, step.gradient, step.means)
    if torch.distributed.get_rank() == 0:
        torch.save(steps, out)
    torch.distributed.destroy_process_group()


def ranks(name):
    """Return this process's number and how many there are, once the engine has met the others."""
    case = case_of(name)
    trainer, _ = trainer_of(case)
    return trainer.args.process_index, trainer.args.world_size


if __name__ == "__main__":
    main(sys.argv[1])
