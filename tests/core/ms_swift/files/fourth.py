"""Written for ms-swift 4: classes that take arguments and trainer."""

import torch
import torch.nn.functional as F
from swift.callbacks import TrainerCallback, callbacks_map
from swift.loss import BaseLoss, loss_map
from swift.loss_scale import LossScale, loss_scale_map
from swift.metrics import EvalMetrics, eval_metrics_map
from swift.model import ModelMeta, register_model
from swift.optimizers import OptimizerCallback, optimizers_map
from swift.rewards import ORM, AsyncORM, orms, rm_plugins
from swift.rewards.rm_plugin import DefaultRMPlugin
from swift.tuner_plugin import Tuner, tuners_map
from swift.utils import get_env_args

register_model(ModelMeta("mine", []))


class Scaled(BaseLoss):
    """Cross entropy times an argument."""

    def __call__(self, outputs, labels, *, num_items_in_batch=None, loss_scale=None, **kwargs):
        masks = labels[:, 1:] != -100
        losses = F.cross_entropy(outputs.logits[:, :-1][masks], labels[:, 1:][masks], reduction="none")
        return self.args.factor * losses.sum() / num_items_in_batch


loss_map["scaled"] = Scaled


class Counted(BaseLoss):
    """Reads the trainer while it is built and while it works, as many do."""

    def __init__(self, args, trainer):
        super().__init__(args, trainer)
        tokenizer = getattr(trainer, "processing_class", None) or trainer.tokenizer
        self.digits = [tokenizer.encode(str(digit), add_special_tokens=False)[0] for digit in range(10)]
        self.weight = get_env_args("fourth_weight", float, 1.0)

    def __call__(self, outputs, labels, *, num_items_in_batch=None, loss_scale=None, **kwargs):
        kept = labels[:, 1:] != -100
        losses = F.cross_entropy(outputs.logits[:, :-1][kept], labels[:, 1:][kept], reduction="none")
        figures = self.trainer.custom_metrics["train" if self.trainer.model.training else "eval"]
        figures["nll"].update(losses.detach())
        figures["vocabulary"].update(len(self.trainer.template.tokenizer))
        return self.weight * losses.sum() / num_items_in_batch


loss_map["counted"] = Counted


class Shouting(LossScale):
    def get_loss_scale(self, context, **kwargs):
        return [context], [2.0 if context.isupper() else 1.0]


loss_scale_map["shouting"] = Shouting


class Right(EvalMetrics):
    def compute_metrics(self, eval_prediction):
        return {"right": (eval_prediction.predictions[:, :-1] == eval_prediction.label_ids[:, 1:]).mean()}

    def preprocess_logits_for_metrics(self, logits, labels):
        return logits.argmax(-1)


eval_metrics_map["right"] = Right


class Plain(OptimizerCallback):
    def create_optimizer(self, model=None):
        model = self.trainer.model if model is None else model
        return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=self.args.learning_rate)

    def create_scheduler(self, num_training_steps, optimizer=None):
        return torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=num_training_steps)


optimizers_map["plain"] = Plain


class Counter(TrainerCallback):
    num_steps = 0

    def on_step_end(self, args, state, control, **kwargs):
        Counter.num_steps += 1
        assert kwargs.get("model", self.trainer.model) is self.trainer.model


callbacks_map["counter"] = Counter


class Early(TrainerCallback):
    """Reads the trainer's data while it is built."""

    num_rows = 0

    def __init__(self, args, trainer):
        super().__init__(args, trainer)
        self.found = len(trainer.train_dataset)

    def on_train_begin(self, args, state, control, **kwargs):
        Early.num_rows = self.found


callbacks_map["early"] = Early


class Embeddings(Tuner):
    @staticmethod
    def prepare_model(args, model):
        model.requires_grad_(False)
        model.get_input_embeddings().requires_grad_(True)
        return model

    @staticmethod
    def save_pretrained(model, save_directory, state_dict=None, safe_serialization=True, **kwargs):
        model.save_pretrained(save_directory)

    @staticmethod
    def from_pretrained(model, model_id, **kwargs):
        return type(model).from_pretrained(model_id)


tuners_map["embeddings"] = Embeddings


class Length(ORM):
    def __call__(self, completions, **kwargs):
        return [len(completion) / self.args.unit for completion in completions]


class Later(AsyncORM):
    async def __call__(self, completions, messages, **kwargs):
        return [float(len(turns)) for turns in messages]


orms.update({"length_in_units": Length, "later": Later})


class Judge(DefaultRMPlugin):
    pass


rm_plugins["judge"] = Judge
