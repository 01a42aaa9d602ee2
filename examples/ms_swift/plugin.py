"""Written for ms-swift 3 and used here as it is: one plugin of each kind that training knows.

In ms-swift it is passed as `--custom_register_path plugin.py`; here as `plugins: {ms_swift_files: [plugin.py]}`.
"""

import torch
from peft import IA3Config, PeftModel, get_peft_model
from swift.plugin import (
    Tuner,
    extra_callbacks,
    extra_tuners,
    loss_mapping,
    metric_mapping,
    optimizers_map,
)
from swift.plugin.loss_scale.loss_scale import LossScale, loss_scale_map
from swift.utils import find_all_linears, get_logger
from transformers import TrainerCallback

logger = get_logger()


def confident_loss(outputs, labels, num_items_in_batch=None, loss_scale=None, **kwargs):
    """Cross entropy plus a tenth of the entropy of what the model says."""
    logits = outputs.logits[:, :-1]
    following = labels[:, 1:]
    masks = following != -100
    kept = logits[masks].float()
    losses = torch.nn.functional.cross_entropy(kept, following[masks], reduction="none")
    logs = kept.log_softmax(-1)
    losses = losses - 0.1 * (logs.exp() * logs).sum(-1)
    if loss_scale is not None:
        losses = losses * loss_scale[:, 1:][masks]
    return losses.mean() if num_items_in_batch is None else losses.sum() / num_items_in_batch


loss_mapping["confident"] = confident_loss


class FirstWordCountsDouble(LossScale):
    def get_loss_scale(self, context, context_type, is_last_round, **kwargs):
        if context_type != "response":
            return super().get_loss_scale(context, context_type, is_last_round)
        first, space, rest = context.partition(" ")
        return [first + space, rest], [2.0, 1.0]


loss_scale_map["first_word"] = FirstWordCountsDouble


def compute_right_tokens(prediction):
    predictions, labels = prediction.predictions[:, :-1], prediction.label_ids[:, 1:]
    masks = labels != -100
    return {"right_tokens": (predictions[masks] == labels[masks]).mean()}


def keep_likeliest(logits, labels):
    return logits.argmax(dim=-1)


metric_mapping["right_tokens"] = (compute_right_tokens, keep_likeliest)


def create_momentum_optimizer(args, model, dataset):
    decay = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for n, p in trained if n in decay], "weight_decay": args.weight_decay},
        {"params": [p for n, p in trained if n not in decay], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=args.learning_rate, momentum=0.9)
    return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


optimizers_map["momentum"] = create_momentum_optimizer


class StepLogger(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        logger.info("step %d is done", state.global_step)


extra_callbacks.append(StepLogger())


class IA3(Tuner):
    @staticmethod
    def prepare_model(args, model):
        linears = find_all_linears(model)
        return get_peft_model(model, IA3Config(target_modules=linears, feedforward_modules=["down_proj"]))

    @staticmethod
    def save_pretrained(model, save_directory, state_dict=None, safe_serialization=True, **kwargs):
        model.save_pretrained(save_directory, state_dict=state_dict, safe_serialization=safe_serialization, **kwargs)

    @staticmethod
    def from_pretrained(model, model_id, **kwargs):
        return PeftModel.from_pretrained(model, model_id, **kwargs)


extra_tuners["scaled"] = IA3
