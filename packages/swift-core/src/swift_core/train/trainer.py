"""The engine under every procedure: transformers' Trainer with our losses, normalisation and evaluation.

A step's gradient is that of sum(losses * weights) / sum(weights) over all micro-batches and ranks. The number of items
is known before the forward pass and divides each micro-batch's loss; where a loss gave weights of its own the gradient
is corrected once, before clipping.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
import torch.distributed as dist
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers.trainer import SCHEDULER_NAME
from transformers.trainer_utils import EvalLoopOutput

from swift_core.assemble.broken_part import is_no_fault_of_a_part
from swift_core.assemble.device_map import home_of, is_spread
from swift_core.assemble.turns import hash_seed
from swift_core.contracts.parallel import SHARDED
from swift_core.errors import Problem, SwiftError
from swift_core.train import ledger, statistics
from swift_core.train.arguments import training_arguments
from swift_core.train.engine import shards, zero
from swift_core.train.engine.tensor import written_whole
from swift_core.train.engine.whole import mark_sharded
from swift_core.train.evaluate import Answers, answer
from swift_core.train.exhausted import shape_of
from swift_core.train.forward import OutputHead
from swift_core.train.held_out import OwnBatches, deal_out_among, summed
from swift_core.train.in_backward import BackwardSteps
from swift_core.train.ledger import BatchLoss, Ledger, LossCall
from swift_core.train.lines import isolation_of
from swift_core.train.nonfinite import NonFinite
from swift_core.train.optimizer_state import clip_in_step, optimizer_metrics
from swift_core.train.penalty import add_penalty_
from swift_core.train.renamed import is_renamed, load_renamed
from swift_core.train.saving import Saving
from swift_core.train.statistics import NOTHING, Coupling, kept_random_numbers
from swift_core.train.tally import Tally

if TYPE_CHECKING:
    from swift_core.contracts.handover import Parts

Batch = Mapping[str, Tensor]


class SwiftTrainer(transformers.Trainer):
    """Base of all procedures (`swift.trainers`). A subclass names what it feeds and makes the lazy outputs."""

    feeds: ClassVar[str]
    """Family of outputs its losses read: `TokenOutputs`, `PairOutputs`, ..."""

    rows: ClassVar[str]
    """What a row of its data is: the name of a row kind."""

    model_head: ClassVar[Literal["causal_lm", "sequence_classification", "token_classification", "dual_encoder"]] = (
        "causal_lm"
    )
    """Which head its model has."""

    default_loss: ClassVar[str]
    """The loss of `loss_type: auto`."""

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run."""
        self.parts = parts
        with self._naming_the_loss():
            self.loss_call = LossCall(parts.loss)
        if self.model_head == "causal_lm":
            self.head = OutputHead(parts.model)
            self.head.isolation = isolation_of(parts, self.rows, parts.model, self.head)
        self._step, self._since_log = Ledger(), Tally()
        self._step_items = torch.ones(())
        self.in_backward: BackwardSteps | None = None
        self._groups: list[list[nn.Parameter]] = []
        self.coupling = Coupling(parts.loss, self._reduce)
        super().__init__(
            model=parts.model,
            args=training_arguments(
                parts.plan,
                parts.directory,
                home_of(parts.model) if is_spread(parts.model) else None,
                model=parts.model,
                has_media=bool(parts.facts.get("rows_with_media")),
            ),
            data_collator=parts.collator,
            train_dataset=parts.train_dataset,
            eval_dataset=parts.eval_dataset,
            processing_class=parts.tokenizer,
            callbacks=list(parts.callbacks),
        )
        self.loss_is_scaled_for_ga = True
        self.args.save_only_model = False  # said for `tp` until Trainer had looked at it
        deal_out_among(parts.plan.parallel.num_shares)
        self.saving, self.nonfinite = Saving(self), NonFinite(self)
        self._random_numbers_of: str | None = None
        self._micro_batch: Batch | None = None
        self._num_begun = 0
        self._is_in_micro_batch = False
        self.step_loss = math.nan
        """Mean loss of the present step over all ranks, known after its last backward pass."""

    @classmethod
    def build(cls, parts: Parts) -> SwiftTrainer:
        """Return the procedure for `parts`."""
        return cls(parts)

    @property
    def module(self) -> nn.Module:
        """The model, without what an engine wrapped around it."""
        return cast("nn.Module", self.model)

    def prove(self, batch: Batch) -> None:
        """Raise SwiftError unless what losses are given is what the model itself would say of `batch`."""
        if self.model_head == "causal_lm":
            self.head.prove(self.module, batch)

    def answers(self) -> Answers:
        """Return the present answers to held-out prompts: all that metrics need, or a few samples."""
        return answer(self.parts)

    # What a procedure fills in.

    def prepare_step(self, batches: list[Any]) -> list[Any]:
        """Return the micro-batches that a step is made of; `batches` are those of the loader, on this process."""
        return batches

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of items of a micro-batch: what a mean loss is a mean over."""
        raise NotImplementedError

    def make_outputs(self, model: nn.Module, batch: Batch) -> Any:
        """Return the lazy outputs of a micro-batch under `model`."""
        raise NotImplementedError

    # Loss.

    def batch_loss(
        self, outputs: Any, batch: Batch, num_items_in_batch: Tensor, means: Mapping[str, Tensor] = NOTHING
    ) -> BatchLoss:
        """Return what a micro-batch adds to a step whose items number `num_items_in_batch`; a broken loss is named."""
        with self._naming_the_loss():
            return self.loss_call(
                outputs,
                batch["labels"],
                num_items=self.count_items(batch),
                num_items_in_batch=num_items_in_batch,
                loss_scale=batch.get("loss_scale"),
                statistics=means,
            )

    @contextmanager
    def _naming_the_loss(self) -> Iterator[None]:
        """Tell what the loss's code raises with its place."""
        try:
            yield
        except SwiftError:
            raise
        except Exception as error:  # whatever a stranger's code raises
            raise loss_failure(self.parts, error) from error

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Collect one step's micro-batches and count their items on all ranks."""
        self._micro_batch, self._num_begun = None, 0
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._random_numbers_of is not None:  # what prepares a step draws numbers too
            self._load_rng_state(self._random_numbers_of)
        batches = self.prepare_step(batches) if batches else batches
        self.nonfinite.begin()
        count = torch.zeros((), device=device)
        for batch in batches:
            count += self.count_items(batch).to(device)
        self._step_items = self._reduce(count)
        if self.coupling.is_needed and len(batches) > 1:
            self._look_ahead(batches)
        return batches, self._step_items

    def under_way(self) -> str:
        """Return what training is at, as a message says it."""
        step = f"step {self.state.global_step + 1}"
        if self._micro_batch is None:
            return f"{step}, before its first micro-batch"
        which = f"micro-batch {self._num_begun}, {shape_of(self._micro_batch)}"
        return f"{step} ({which})" if self._is_in_micro_batch else f"{step}, after its gradient ({which})"

    def _look_ahead(self, batches: Sequence[dict[str, Any]]) -> None:
        """Form the means that the losses of a step of several micro-batches depend on, before the first of them."""
        self.model_wrapped.train()
        context = self.compute_loss_context_manager()
        with self._naming_the_loss(), torch.no_grad(), kept_random_numbers(self.args.device), context:
            outputs = (self.make_outputs(self.model_wrapped, self._prepare_inputs(batch)) for batch in batches)
            self.coupling.look_ahead(outputs, self._step_items)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return this micro-batch's share of the step's mean."""
        if return_outputs:
            raise NotImplementedError("evaluation goes through evaluation_loop")
        outputs = self.make_outputs(model, inputs)
        with self._naming_the_loss():
            self.coupling.enter(outputs, self._step_items)
        batch = self.batch_loss(outputs, inputs, self._step_items, self.coupling.means)
        self._step.add_loss(batch)
        self._since_log.add(batch)
        self.nonfinite.note(inputs, batch.numerator)
        # Gradients of ranks are averaged after this, hence the factor.
        return batch.numerator / self._step_items * self.args.world_size

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        is_ours = resume_from_checkpoint is not None and self.parts.plan.parallel.is_zero
        if is_ours:  # before DeepSpeed cuts the weights into pieces; Trainer knows only checkpoints that are pickles
            shards.load_weights(self.module, Path(resume_from_checkpoint))
        arguments = (max_steps, train_dataloader, None if is_ours else resume_from_checkpoint)
        prepared = super()._prepare_for_training(*arguments)  # type: ignore[no-untyped-call]
        if is_ours:
            self._load_optimizer_and_scheduler(resume_from_checkpoint)
        if self.parts.plan.parallel.shards_weights and self.parts.plan.parallel.method != "tp":
            mark_sharded(self.module)
        return prepared

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Return the loss of a micro-batch after its backward pass, in which parameters may move already."""
        self._micro_batch, self._is_in_micro_batch = inputs, True
        self._num_begun += 1
        loss = self._stepped(model, inputs, num_items_in_batch)
        self._is_in_micro_batch = False
        return loss

    def _stepped(self, model: nn.Module, inputs: Any, num_items_in_batch: Tensor | int | None) -> Tensor:
        if self.parts.plan.parallel.is_zero:
            return self._zero_step(model, inputs)
        if self.in_backward is None:
            loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
            return loss
        model.train()
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, self._prepare_inputs(inputs), num_items_in_batch=num_items_in_batch)
        factor = self._step_factor()
        if not self.nonfinite.leaves_out:
            self.in_backward.backward(loss * factor)
        detached: Tensor = loss.detach()
        return detached

    def _zero_step(self, model: nn.Module, inputs: Any) -> Tensor:
        """Return the loss of a micro-batch; DeepSpeed clips and takes the step in the backward pass of the last one."""
        model.train()
        with self.compute_loss_context_manager():
            loss: Tensor = self.compute_loss(model, self._prepare_inputs(inputs))
        factor = self._step_factor() if self.accelerator.sync_gradients else 1.0
        if factor != 1 and self.args.gradient_accumulation_steps > 1:
            raise SwiftError(late_weights(self.parts))
        self.accelerator.backward(loss * factor if factor != 1 else loss, scale_wrt_gas=False)
        return loss.detach()

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        if self.in_backward is not None:
            return self.in_backward.norm
        if self.parts.plan.parallel.is_zero:
            return super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        self._finish_step(model)
        has_parts = self.parts.plan.parallel.method == "tp" or is_spread(
            self.module
        )  # the norm is accelerate's to find
        clip = None if has_parts else clip_in_step(self.optimizer, self.accelerator)
        if clip is not None:
            return clip(self.args.max_grad_norm)
        return super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        if self.in_backward is not None:
            norm: Any = float(self.in_backward.norm)
        else:
            if grad_norm is None and not self.parts.plan.parallel.is_zero:  # no clipping in this run
                self._finish_step(model)
            norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]
        self.nonfinite.judge("gradient", float(norm))
        if self.nonfinite.leaves_out:
            self.accelerator.gradient_state._set_sync_gradients(False)  # the optimizer then takes no step
        return norm

    def _finish_step(self, model: nn.Module) -> None:
        """Judge the step's loss, and correct the gradient when weights do not sum to the number of items."""
        factor = self._step_factor()
        if factor != 1:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        add_penalty_(self.parts.tuner, self.module)

    def _step_factor(self) -> float:
        """Return what makes the step's loss a mean over the weights of its losses, once the loss is judged."""
        (loss, weights), items = self._step.loss(self._reduce), float(self._step_items)
        self._step.clear()
        self.step_loss = loss
        self.nonfinite.judge("loss", loss)
        return items / weights if weights not in (items, 0) else 1.0

    def logged_sums(self) -> dict[str, Tensor]:
        """Return what was added up for the next line of the log."""
        return self._since_log.sums()

    def forget_step(self, logged: dict[str, Tensor]) -> None:
        """Take the present step, which is left out, off what is logged: `logged` is what stood there before it."""
        self._since_log.restore(logged)
        self._tr_loss.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)

    def _reduce(self, value: Tensor) -> Tensor:
        """Return `value` summed over ranks."""
        if self.args.world_size == 1:
            return value
        reduced: Tensor = self.accelerator.reduce(value.to(self.args.device), reduction="sum")
        return reduced

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the exact mean loss and the loss's metrics since the last line, and at the end that of the whole run."""
        if "loss" in logs:
            means = self._since_log.means(self._reduce, self._logged_names())
            figures = self.derived(means) if "loss" in means else {**means, "loss": math.nan}  # no step was taken
            logs |= figures | optimizer_metrics(self.optimizer)
            self._since_log.close_line()
        if "train_loss" in logs:  # Trainer's own counts the steps since the last start
            logs["train_loss"] = self._since_log.total(self._reduce)
        super().log(logs, start_time)

    def _logged_names(self) -> list[str]:
        """Return the names of what was added on any rank: a rank whose answers were all judged has no failures."""
        if self.args.world_size == 1:
            return self._since_log.names
        gathered: list[list[str]] = [[] for _ in range(self.args.world_size)]
        dist.all_gather_object(gathered, self._since_log.names)
        return list(dict.fromkeys(name for names in gathered for name in names))

    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """Return the means of the loss's metrics with what follows from them."""
        return means

    # Optimizer and schedule come from plugins.

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Build the optimizer that the run file names."""
        if self.optimizer is None:
            self.optimizer = self.parts.make_optimizer(self.module)
            self._groups = [list(group["params"]) for group in self.optimizer.param_groups]
            always = getattr(self.optimizer, "updates_in_backward", False)
            if always or self.parts.plan.settings.train.update_in_backward:
                self.in_backward = BackwardSteps(self.optimizer, self.args.max_grad_norm)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Build the schedule that the run file names."""
        if self.lr_scheduler is None:
            warmup = self.args.get_warmup_steps(num_training_steps)
            self.lr_scheduler = self.parts.make_scheduler(
                optimizer or cast("Any", self.optimizer), warmup, num_training_steps
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def show_kept_weights(self) -> None:
        """Let an optimizer that trains at one point and keeps another put what it keeps into the model.

        Such an optimizer (schedule-free) has `eval()` and `train()`; a training step calls `train()` again.
        """
        if callable(getattr(self.optimizer, "eval", None)):
            cast("Any", self.optimizer).eval()

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train for an epoch, unless the run has ended: one killed while its model was written resumes at its end."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        with self.saving.committing():  # callbacks write into a checkpoint after _save_checkpoint
            super()._maybe_log_save_evaluate(*args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.show_kept_weights()
        self.saving.begin()
        super()._save_checkpoint(model, trial)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the weights; those that processes share out are gathered first, or left to their parts."""
        if self.parts.plan.parallel.method not in SHARDED:
            super().save_model(output_dir, _internal_call)
        elif not self._writes_parts:
            weights = shards.whole_weights(self.module)
            if self.args.should_save:
                with written_whole(self.module):
                    self._save(str(output_dir), state_dict=weights)

    @property
    def _writes_parts(self) -> bool:
        return self.parts.plan.parallel.values.get("state_dict") == "sharded"

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.parts.plan.parallel.method in SHARDED:
            if self.parts.plan.parallel.is_zero:
                zero.save_optimizer(self.model_wrapped, self._groups, Path(output_dir))
            else:
                shards.save_optimizer(self._bare_optimizer, self.module, Path(output_dir), sharded=self._writes_parts)
            if self.args.should_save:
                torch.save(cast("Any", self.lr_scheduler).state_dict(), Path(output_dir) / SCHEDULER_NAME)
        else:
            super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self.coupling.save(Path(output_dir))
        self._since_log.save(Path(output_dir), self.args)

    @property
    def _bare_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer in what accelerate wraps around it."""
        return cast("torch.optim.Optimizer", getattr(self.optimizer, "optimizer", self.optimizer))

    def _is_shared_otherwise(self, checkpoint: str) -> bool:
        """Say whether weights here or in the checkpoint are shared out, which Trainer cannot read without pickles."""
        return self.parts.plan.parallel.method in SHARDED or shards.is_sharded(Path(checkpoint))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._is_shared_otherwise(resume_from_checkpoint):
            shards.load_weights(self.module, Path(resume_from_checkpoint))
        elif is_renamed(self.module, Path(resume_from_checkpoint)):
            load_renamed(self.module, Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Go on with the random numbers of a checkpoint, once: Trainer asks for it after a step was prepared, too.

        Those of another number of processes fit none of these: they start anew, from the seed and the step.
        """
        if checkpoint is None or checkpoint != self._random_numbers_of:
            return
        self._random_numbers_of = None
        if len([*Path(checkpoint).glob("rng_state*.pth")]) != self.args.world_size:
            torch.manual_seed(hash_seed(self.args.seed, self.state.global_step, self.args.process_index))
            return
        with self.saving.reading(Path(checkpoint)):
            super()._load_rng_state(checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        self._random_numbers_of = checkpoint
        with self.saving.reading(Path(checkpoint or "")):
            if checkpoint is not None and self._is_shared_otherwise(checkpoint):
                if self.parts.plan.parallel.is_zero:
                    zero.load_optimizer(self.model_wrapped, self._groups, Path(checkpoint))
                else:
                    shards.load_optimizer(self._bare_optimizer, Path(checkpoint))
                schedule = torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True)
                cast("Any", self.lr_scheduler).load_state_dict(schedule)
            else:
                super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            with self._naming_the_loss():
                self.coupling.load(Path(checkpoint))
            self._since_log.load(Path(checkpoint), self.args)

    # Evaluation: sums over all rows, nothing kept but what a metric asked for.

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Return a loader over this rank's share of the held-out rows."""
        rows, shares = self.parts.eval_dataset or [], self.parts.plan.parallel.num_shares
        share = OwnBatches(
            len(rows),
            self.args.per_device_eval_batch_size,
            rank=self.args.process_index % shares,
            world=shares,
            fill_up=self.parts.plan.parallel.shards_weights,
        )
        return DataLoader(cast("Any", rows), batch_sampler=share, collate_fn=self.parts.collator)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return the mean loss and metrics of the held-out rows."""
        from swift_core.train.evaluate import PredictionMetrics

        self.show_kept_weights()
        self.module.eval()
        sums, collect = Ledger(), PredictionMetrics(self.parts)
        with torch.no_grad():
            means = self._held_out_means(dataloader)
            for number, inputs in enumerate(dataloader):
                batch = self._prepare_inputs(inputs)
                outputs = self.make_outputs(self.module, batch)
                loss = self.batch_loss(outputs, batch, self.count_items(batch), means)
                counts = number < dataloader.batch_sampler.num_own
                if counts:
                    sums.add(loss)
                collect.add(outputs, batch, counts=counts)
                self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        sums.restore(summed(sums.sums()))
        figures = self.derived(sums.means(_alone)) | collect.compute()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(dataloader.dataset))  # type: ignore[arg-type]

    def _held_out_means(self, dataloader: Any) -> Mapping[str, Tensor]:
        """Return the means over all held-out rows that the loss asks for."""
        if not self.loss_call.wants_statistics:
            return NOTHING
        with self._naming_the_loss():
            outputs = (self.make_outputs(self.module, self._prepare_inputs(batch)) for batch in dataloader)
            return self.coupling.over(outputs, dataloader.batch_sampler.num_own)


def _alone(value: Tensor) -> Tensor:
    """Return `value`: a sum over all rows already."""
    return value


def late_weights(parts: Parts) -> Problem:
    """Return why a loss with weights of its own cannot be trained by DeepSpeed over several micro-batches."""
    part, method = parts.plan.loss, parts.plan.parallel.method
    message = (
        f"the loss {part.plugin.name!r} weighs its items, so a step's mean is known after its last micro-batch, and "
        f"{method} gives no access to the gradient by then."
    )
    next_step = "set train.gradient_accumulation_steps: 1, or write parallel_method: fsdp2"
    return Problem("engine-conflict", message, parts.plan.config.place(part.key), next_step)


def loss_failure(parts: Parts, error: Exception) -> SwiftError:
    """Return the error of a loss plugin with its name, wheel and place; raise `error` where it is no fault of it."""
    if is_no_fault_of_a_part(error):
        raise error
    part = parts.plan.loss
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if frame.filename in (ledger.__file__, statistics.__file__) else f" ({frame.filename}:{frame.lineno})"
    return SwiftError(
        Problem(
            "loss-failed",
            f"{part.plugin.in_full} raised {type(error).__name__}: {error}{where}",
            parts.plan.config.place(part.key),
            part.plugin.info_command,
        )
    )
