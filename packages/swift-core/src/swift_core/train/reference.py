"""Reference log-probabilities: from switched-off adapters, from a frozen model, or from a cache.

The cache holds one row of token log-probabilities per completion. It lives in the user's cache folder under a digest
of the reference's weights and type and of the encoded rows: it is never read for other weights, data or templates.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from swift_core.assemble.device_map import home_of
from swift_core.errors import Problem, SwiftError
from swift_core.train.forward import OutputHead
from swift_core.train.lines import isolation_of
from swift_core.train.outputs import LaidOut, ScoredTokens

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import Parts

Batch = Mapping[str, Tensor]


class Reference:
    """Gives [token] reference log-probabilities of a batch's scored tokens, computed once a batch."""

    def __init__(
        self, model: nn.Module, head: OutputHead, context: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """Score with `model` inside `context()`."""
        self._model, self._head, self._context = model, head, context
        self._cached: dict[str, Tensor] = {}

    def shares(self, head: OutputHead) -> bool:
        """Say whether its scores are formed in one pass with those of the policy, whose head is `head`.

        That is so when it is the policy with adapters off, its head is a plain one without adapters, and nothing is
        cached.
        """
        return self._head is head and head.call.is_plain and not self._cached

    def on(self, batch: Batch) -> Callable[[], Tensor]:
        """Return a thunk for `batch`; it runs the model at most once."""
        kept: list[Tensor] = []

        def logps() -> Tensor:
            if not kept:
                kept.append(self._look_up(batch) if self._cached else self.score(batch))
            return kept[0]

        return logps

    def score(self, batch: Batch) -> Tensor:
        """Return [token] log-probabilities of the scored tokens, row by row; dropout is off."""
        with self._quiet():
            return self._tokens(batch).logps

    def hidden(self, batch: Batch, laid_out: LaidOut | None = None) -> Tensor:
        """Return [token, hidden], what its head would score; dropout is off."""
        with self._quiet():
            return self._tokens(batch, laid_out).hidden

    def _tokens(self, batch: Batch, laid_out: LaidOut | None = None) -> ScoredTokens:
        return ScoredTokens(self._head, self._model, batch, laid_out=laid_out, reader="")

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Be the reference inside the block: no gradient, no dropout, adapters off."""
        was_training = self._model.training
        self._model.eval()
        try:
            with torch.no_grad(), self._context():
                yield
        finally:
            self._model.train(was_training)

    def _look_up(self, batch: Batch) -> Tensor:
        names = row_names(batch)
        return torch.cat([self._cached[name] for name in names]).to(batch["input_ids"].device)

    def precompute(self, batches: Iterable[Batch]) -> None:
        """Score every batch now and answer from memory from then on."""
        for batch in batches:
            counts = self._tokens(batch).row_counts().tolist()
            parts = self.score(batch).cpu().split(counts)
            self._cached.update(zip(row_names(batch), parts, strict=True))

    def save(self, path: Path) -> None:
        """Write what was precomputed, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        save_file({name: value.contiguous() for name, value in self._cached.items()}, unfinished)
        unfinished.replace(path)

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        self._cached = load_file(path)


def row_names(batch: Batch) -> list[str]:
    """Return a name for each row of a batch: a digest of its tokens, of which of them are scored, and of its images."""
    names = []
    keys = batch["image_keys"].tolist() if "image_keys" in batch else [0] * len(batch["input_ids"])
    rows = zip(batch["input_ids"], batch["labels"], batch["attention_mask"], keys, strict=True)
    for ids, labels, mask, key in rows:
        used = mask.bool()
        content = torch.stack([ids[used], labels[used]]).cpu().numpy().tobytes()
        content += key.to_bytes(8, "big") if key else b""
        names.append(hashlib.sha256(content).hexdigest()[:32])
    return names


def reference_of(parts: Parts, head: OutputHead) -> Reference | None:
    """Return the reference a run's loss needs, precomputed if the run file asks for it; None when it needs none."""
    if not (getattr(parts.loss, "needs_reference", False) or getattr(parts.procedure, "needs_reference", False)):
        return None
    reference = _live_reference(parts, head)
    if parts.plan.settings.train.precompute_ref_log_probs:
        _fill(reference, parts)
    return reference


def _live_reference(parts: Parts, head: OutputHead) -> Reference:
    if parts.reference is not None:
        own = OutputHead(parts.reference)
        if head.isolation is not None:
            own.isolation = isolation_of(parts, "pairs", parts.reference, own)
        return Reference(parts.reference, own, nullcontext)
    if parts.tuner.reference(parts.model) is None:
        raise SwiftError(
            Problem(
                "no-reference", f"loss {parts.plan.loss.plugin.name!r} needs a reference model and the run has none"
            )
        )
    return Reference(parts.model, head, lambda: parts.tuner.reference(parts.model))


def _fill(reference: Reference, parts: Parts) -> None:
    path = parts.cache / "reference" / f"{_digest(parts)}.safetensors"
    if path.exists():
        reference.load(path)
        parts.facts["reference_log_probs"] = f"read from {path}"
        return
    size = parts.plan.settings.train.per_device_eval_batch_size
    rows = [
        row for dataset in (parts.train_dataset, parts.eval_dataset) if dataset is not None for row in _all(dataset)
    ]
    batches = (parts.collator(rows[start : start + size]) for start in range(0, len(rows), size))
    reference.precompute(_on_device(batches, parts))
    reference.save(path)
    parts.facts["reference_log_probs"] = f"computed for {len(rows)} rows, kept in {path}"


def _on_device(batches: Iterable[Batch], parts: Parts) -> Iterator[Batch]:
    """Yield the sequences of each batch that the loss has a reference for, the mismatched ones after the rows' own."""
    for batch in batches:
        placed = _moved(batch, home_of(parts.model))
        yield placed
        if _reads_mismatched(parts):
            yield mismatched_rows(placed)


def _moved(value: Any, device: torch.device) -> Any:
    """Return a batch, or what stands in it by name, on `device`."""
    if isinstance(value, Mapping):
        return {name: _moved(each, device) for name, each in value.items()}
    return value.to(device)


def mismatched_rows(batch: Batch) -> Batch:
    """Return the sequences of a batch that end in completions to other prompts; empty when it has none."""
    return {name.removeprefix("kl_"): value for name, value in batch.items() if name.startswith("kl_")}


def _reads_mismatched(parts: Parts) -> bool:
    return bool(getattr(parts.loss, "needs_mismatched", False))


def _all(dataset: Any) -> list[Any]:
    return [dataset[index] for index in range(len(dataset))]


def _digest(parts: Parts) -> str:
    model = parts.model if parts.reference is None else parts.reference
    digest = hashlib.sha256(f"{model.dtype} {_reads_mismatched(parts)}".encode())
    for name, value in sorted(model.named_parameters()):
        if parts.reference is None and value.requires_grad:
            continue  # a weight of an adapter, which the reference switches off
        digest.update(name.encode())
        digest.update(value.detach().contiguous().view(torch.uint8).cpu().numpy().tobytes())
    for dataset in (parts.train_dataset, parts.eval_dataset):
        if dataset is not None:
            digest.update(json.dumps(_all(dataset), sort_keys=True).encode())
    return digest.hexdigest()[:32]
