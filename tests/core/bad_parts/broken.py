"""One plugin of each kind for every way to break; the run files of the test name them."""

import torch
from transformers import TrainerCallback

from swift_core.plugin_api import LossOutput


def loss_raises(tokens):
    raise IndexError("no such row")


def loss_returns_text(tokens):
    return "0.5"


def loss_of_wrong_shape(tokens):
    return LossOutput(-tokens.logps[:, None])


def loss_with_weights_of_another_shape(tokens):
    return LossOutput(-tokens.logps, weights=tokens.weights[:1])


class Tuner:
    trains_adapter = False
    artifact = "model"

    def prepare_model(self, model):
        return model.requires_grad_(True)

    def reference(self, model):
        return None

    def save_pretrained(self, model, directory):
        model.save_pretrained(directory)

    def from_pretrained(self, model, directory):
        return model


class TunerRaises(Tuner):
    def prepare_model(self, model):
        raise KeyError("q_proj")


class TunerReturnsNothing(Tuner):
    def prepare_model(self, model):
        model.requires_grad_(True)


class TunerTrainsNothing(Tuner):
    def prepare_model(self, model):
        return model.requires_grad_(False)


class TunerBringsNoCallback(Tuner):
    def callbacks(self):
        return ["a callback"]


class NoCallback:
    def on_step_end(self, args, state, control, **event):
        return control


class CallbackRaises(TrainerCallback):
    def on_step_end(self, args, state, control, **event):
        return 1 / 0


class CallbackReturnsText(TrainerCallback):
    def on_step_begin(self, args, state, control, **event):
        return "stop"


class Metric:
    eats = "predictions"

    def preprocess_logits(self, logits, labels, /):
        return logits.argmax(-1)

    def compute(self, evaluation, /):
        return {"figure": 1.0}


class MetricRaises(Metric):
    def compute(self, evaluation, /):
        return {"figure": evaluation.values[99]}


class MetricReturnsNumber(Metric):
    def compute(self, evaluation, /):
        return 0.5


class MetricKeepsLogits(Metric):
    def preprocess_logits(self, logits, labels, /):
        return logits


class SchedulerRaises:
    def __call__(self, optimizer, /, *, num_warmup_steps, num_training_steps):
        raise RuntimeError("no steps")


class SchedulerReturnsRate:
    def __call__(self, optimizer, /, *, num_warmup_steps, num_training_steps):
        return 0.1


def optimizer_raises(params, *, lr: float = 1e-3):
    raise RuntimeError("no such kernel")


def optimizer_returns_groups(params, *, lr: float = 1e-3):
    return list(params)


def optimizer_alone(args, model, dataset):
    return torch.optim.SGD(model.parameters(), lr=args.learning_rate)


def reward_raises(completions):
    raise ZeroDivisionError("no answers")


def reward_of_wrong_length(completions):
    return [1.0]


def reward_returns_text(completions):
    return ["good" for _ in completions]


class LossScaleRaises:
    def get_loss_scale(self, context, context_type, is_last_round, /):
        return {}[context_type]


class LossScaleLosesText:
    def get_loss_scale(self, context, context_type, is_last_round, /):
        return [context[1:]], [1.0]


class LossScaleWeighsLessThanNothing:
    def get_loss_scale(self, context, context_type, is_last_round, /):
        return [context], [-1.0]


class FormatRaises:
    columns = ("messages",)

    def matches(self, row):
        return True

    def record(self, row, where):
        return row["answers"]


class FormatReturnsText(FormatRaises):
    def record(self, row, where):
        return "a row"


class FormatWithoutColumns:
    def matches(self, row):
        return True
