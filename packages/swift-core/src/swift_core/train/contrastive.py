"""Stage `clip`: an image encoder and a text encoder learn one space, in which an image lies next to its text.

A loss compares each pair with all others of the optimizer step: all micro-batches on all processes. The gradient of
that loss is exact, however the step is divided. Each part of the step is passed through the model with gradient, and
the embeddings of the others stand beside it as constants; what the parts add up to is the whole gradient:

    dL/dtheta = sum over parts p of (dL/dE_p)(dE_p/dtheta)

So a step of several micro-batches is passed through the model twice, first without gradient, as in Gao et al., 2021,
arXiv:2101.06983 (GradCache). A step of one micro-batch per process is passed once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from swift_core.assemble.vision.batches import VISION
from swift_core.contracts.contrastive import ContrastiveOutputs
from swift_core.errors import Problem, SwiftError
from swift_core.train.ledger import BatchLoss
from swift_core.train.statistics import NOTHING, kept_random_numbers
from swift_core.train.trainer import Batch, SwiftTrainer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swift_core.contracts.handover import Parts


class Contrastive(SwiftTrainer):
    """Contrastive training of models with an image encoder and a text encoder."""

    feeds: ClassVar[str] = "ContrastiveOutputs"
    rows: ClassVar[str] = "image_texts"
    model_head: ClassVar[Literal["dual_encoder"]] = "dual_encoder"
    default_loss: ClassVar[str] = "clip"

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run."""
        super().__init__(parts)
        limit = getattr(parts.loss, "max_logit_scale", None)
        if limit is not None:
            self.add_callback(_ScaleLimit(math.log(limit)))
        self._ahead: list[Tensor] = []
        """Embeddings of the parts of a step of several micro-batches, [pair, 2, dimension] each, own ones first."""

        self._part = 0

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of pairs."""
        return torch.tensor(len(batch["labels"]))

    def prepare_step(self, batches: list[Any]) -> list[Any]:
        """Pass a step of several micro-batches through the model without gradient, for what each is compared with."""
        self._ahead, self._part = [], 0
        if len(batches) > 1:
            self.model_wrapped.train()
            context = self.compute_loss_context_manager()
            with torch.no_grad(), kept_random_numbers(self.args.device), context:
                own = [_embedded(self.model_wrapped, self._prepare_inputs(batch)) for batch in batches]
            self._ahead = own + _of_others(torch.cat(own))
        return batches

    def make_outputs(self, model: nn.Module, batch: Batch) -> ContrastiveOutputs:
        """Return the outputs on all pairs of the step, with gradient in those of this micro-batch."""
        own = _embedded(model, batch)
        embeds, share = own, 1.0
        if torch.is_grad_enabled():
            others = self._others(own)
            embeds = torch.cat([own, *others]) if others else own
            share = len(own) / len(embeds)
        return _Shared.of(self.module, embeds, share)

    def _others(self, own: Tensor) -> list[Tensor]:
        """Return the embeddings that the present micro-batch is compared with, without gradient."""
        if not self._ahead:
            return _of_others(own.detach())
        place, self._part = self._part, self._part + 1
        return [part for number, part in enumerate(self._ahead) if number != place]

    def batch_loss(
        self, outputs: Any, batch: Batch, num_items_in_batch: Tensor, means: Mapping[str, Tensor] = NOTHING
    ) -> BatchLoss:
        """Return the loss of the whole step: all of it has gradient, and this micro-batch's share of it is counted."""
        with self._naming_the_loss():
            num_pairs = torch.tensor(len(outputs.image_embeds))
            whole = self.loss_call(
                outputs, batch["labels"], num_items=num_pairs, num_items_in_batch=num_items_in_batch, statistics=means
            )
        share = outputs.share
        counted = whole.numerator + (share - 1) * whole.numerator.detach()
        return BatchLoss(counted, whole.denominator * share, whole.metrics)

    def prove(self, batch: Batch) -> None:
        """Raise SwiftError unless the model has what the loss reads."""
        if getattr(self.module, "logit_scale", None) is None:
            raise SwiftError(_no_scale(self.parts, self.module))
        with torch.no_grad():
            self.batch_loss(self.make_outputs(self.module, batch), batch, self.count_items(batch))


class _Shared(ContrastiveOutputs):
    """Outputs on a step, of which one micro-batch has a share."""

    share: float

    @classmethod
    def of(cls, model: nn.Module, embeds: Tensor, share: float) -> _Shared:
        """Return the outputs on `embeds`, [pair, 2, dimension].

        Every part of a step has the whole step's loss; so that the scale, which all parts read, does not learn from it
        several times, each part has its share of that gradient.
        """
        image, text = embeds.unbind(1)
        bias: Tensor | None = getattr(model, "logit_bias", None)
        unread = 0.0 if bias is None else 0.0 * bias.float().sum()  # DDP waits for a gradient of every parameter
        values: dict[str, Callable[[], Tensor]] = {
            "image_embeds": lambda: image,
            "text_embeds": lambda: text,
            "logit_scale": lambda: _in_part(cast("Tensor", model.logit_scale), share).exp() + unread,
        }
        if bias is not None:
            values["logit_bias"] = lambda: _in_part(bias, share)
        outputs = cls(values)
        outputs.share = share
        return outputs


def _in_part(value: Tensor, share: float) -> Tensor:
    """Return `value` with `share` of its gradient, float32."""
    value = value.float().reshape(())
    return value.detach() + share * (value - value.detach())


def _embedded(model: nn.Module, batch: Batch) -> Tensor:
    """Return the embeddings of the images and texts of a micro-batch, [pair, 2, dimension], of length 1, float32."""
    vision = cast("Mapping[str, Tensor]", batch[VISION])
    outputs: Any = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], **vision)
    return F.normalize(torch.stack([outputs.image_embeds, outputs.text_embeds], dim=1).float(), dim=-1)


def _of_others(own: Tensor) -> list[Tensor]:
    """Return what the other processes have in place of `own`, [pair, ...]; processes may have different numbers."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return []
    world, rank = dist.get_world_size(), dist.get_rank()
    counts = [torch.zeros((), dtype=torch.int64, device=own.device) for _ in range(world)]
    dist.all_gather(counts, torch.tensor(len(own), device=own.device))
    most = max(int(count) for count in counts)
    filled = torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])]).contiguous()
    gathered = [torch.empty_like(filled) for _ in range(world)]
    dist.all_gather(gathered, filled)
    return [
        part[: int(count)] for number, (part, count) in enumerate(zip(gathered, counts, strict=True)) if number != rank
    ]


class _ScaleLimit(transformers.TrainerCallback):
    """Cuts the learned logarithm of the scale back after each step."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def on_step_end(self, args: Any, state: Any, control: Any, **live: Any) -> None:
        """Cut it back."""
        with torch.no_grad():
            live["model"].logit_scale.clamp_(max=self._limit)


def _no_scale(parts: Parts, model: nn.Module) -> Problem:
    message = f"{type(model).__name__} has no logit_scale, which stage clip trains."
    return Problem("unfit-model", message, parts.plan.config.place("model.model_id"), "use a CLIP or SigLIP model")
