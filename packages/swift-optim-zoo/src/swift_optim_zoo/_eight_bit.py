"""AdamW with moments of one byte each, in blocks of 256 with a scale of their own; in plain torch operations.

    first moment:   m = scale * sign(code) * (b^|code| - 1) / K,  b = (1 + K)^(1/127),  K = 4096      (nearest)
    second moment:  v = scale * 2^((code - 255) / 8)                                              (stochastic rounding)

Both have relative steps, of 7 and 9 %; the first one linear steps near 0. A second moment never becomes 0 where its
block has a positive one: what is below the smallest code takes it, so that no weight jumps. Nearest rounding
would freeze it, for in one step it falls by less than half a code; the noise that rounds it comes from a fixed table,
shifted by step and place, so that a run repeats and resumes bit for bit. Block-wise states of 8 bits: Dettmers et al.,
2021, arXiv:2110.02861. Tensors below 4096 elements keep float32 states, as bitsandbytes has it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from swift_optim_zoo._adam import adamw_
from swift_optim_zoo._base import State, next_step, zeros_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swift_optim_zoo._turn import Turn

BLOCK = 256
"""Elements that share a scale."""

SMALLEST = 4096
"""Elements from which states have 8 bits."""

_LARGEST_CODE = 127
_PIECE = 1 << 16
_CURVE = 4096.0
_LOG_BASE = math.log1p(_CURVE) / _LARGEST_CODE
_CODES_PER_OCTAVE = 8
_TINY = torch.finfo(torch.float32).tiny
_NUM_SHIFTS = 4096
_STRIDE = 2481


class AdamOptions(NamedTuple):
    """What a step of Adam needs to know."""

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float


def encode_signed(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes (int8) of `values` [blocks, size] and the scale of each block [blocks]."""
    size = values.abs()
    scale = size.amax(dim=1)
    size.mul_((_CURVE / scale.clamp(min=_TINY)).unsqueeze(1)).add_(1).log_().div_(_LOG_BASE).round_()
    return size.copysign_(values).to(torch.int8), scale


def decode_signed(codes: Tensor, scale: Tensor) -> Tensor:
    """Return the values of `codes` [blocks, size]."""
    signed = codes.to(torch.float32)
    size = signed.abs().mul_(_LOG_BASE).exp_().sub_(1).mul_((scale / _CURVE).unsqueeze(1))
    return size.copysign_(signed)


def encode_positive(values: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes (uint8) of `values` >= 0 [blocks, size], rounded by `noise` in [0, 1), and each block's scale."""
    scale = values.amax(dim=1)
    octaves = (values / scale.clamp(min=_TINY).unsqueeze(1)).log2_()
    codes = octaves.mul_(_CODES_PER_OCTAVE).add_(noise).clamp_(-255, 0.5).add_(255)
    return codes.to(torch.int32).to(torch.uint8), scale  # cuts the fraction off; faster than in one go


def decode_positive(codes: Tensor, scale: Tensor) -> Tensor:
    """Return the values of `codes` [blocks, size]."""
    return codes.to(torch.float32).sub_(255).div_(_CODES_PER_OCTAVE).exp2_().mul_(scale.unsqueeze(1))


def adam8bit_step(weights: Tensor, grad: Tensor, state: State, options: AdamOptions) -> None:
    """Move `weights` in place by AdamW as torch has it, with moments of 8 bits in `state`."""
    step = next_step(state) - int(state.get("reset_at", 0))
    if weights.numel() < SMALLEST:
        moments = zeros_in(state, "exp_avg", weights), zeros_in(state, "exp_avg_sq", weights)
        adamw_(weights, grad, *moments, step=step, **options._asdict())
        return
    target = weights.contiguous()
    make_codes(state, target.numel(), target.device)
    flat, flat_grad = target.view(-1), grad.contiguous().view(-1)
    for number, (elements, blocks) in enumerate(_pieces(target.numel())):
        noise = _noise(int(state["step"]), number, elements.stop - elements.start, target.device)
        _step_piece(flat[elements], flat_grad[elements], state, elements, blocks, noise, step=step, options=options)
    if target is not weights:
        weights.copy_(target)


def make_codes(state: State, num_elements: int, device: torch.device) -> None:
    """Start 8-bit moments of zeros where there are none."""
    if "exp_avg_codes" in state:
        return
    num_blocks = math.ceil(num_elements / BLOCK)
    state["exp_avg_codes"] = torch.zeros(num_elements, dtype=torch.int8, device=device)
    state["exp_avg_sq_codes"] = torch.zeros(num_elements, dtype=torch.uint8, device=device)
    state["exp_avg_scale"] = torch.zeros(num_blocks, device=device)
    state["exp_avg_sq_scale"] = torch.zeros(num_blocks, device=device)


def decoded(state: State, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return both moments in float32."""
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for elements, blocks in _pieces(math.prod(shape)):
        rows = blocks.stop - blocks.start
        for part, name, decode in ((0, "exp_avg", decode_signed), (1, "exp_avg_sq", decode_positive)):
            codes = state[f"{name}_codes"][elements].view(rows, -1)
            parts[part].append(decode(codes, state[f"{name}_scale"][blocks]).view(-1))
    return torch.cat(parts[0]).view(shape), torch.cat(parts[1]).view(shape)


def encode(state: State, first: Tensor, second: Tensor) -> None:
    """Put both moments into the codes of `state`; the second one is rounded to the nearest."""
    flat_first, flat_second = first.reshape(-1), second.reshape(-1)
    for elements, blocks in _pieces(first.numel()):
        shape = (blocks.stop - blocks.start, -1)
        half = torch.tensor(0.5, device=first.device)
        codes, scale = encode_signed(flat_first[elements].view(shape))
        _store(state, "exp_avg", elements, blocks, codes, scale)
        codes, scale = encode_positive(flat_second[elements].view(shape), half)
        _store(state, "exp_avg_sq", elements, blocks, codes, scale)


def _pieces(num_elements: int) -> Iterator[tuple[slice, slice]]:
    """Yield the elements and blocks that are worked on at one time; an incomplete last block comes alone."""
    whole = num_elements // BLOCK * BLOCK
    for start in range(0, whole, _PIECE):
        stop = min(start + _PIECE, whole)
        yield slice(start, stop), slice(start // BLOCK, stop // BLOCK)
    if whole < num_elements:
        yield slice(whole, num_elements), slice(whole // BLOCK, whole // BLOCK + 1)


def _step_piece(
    weights: Tensor,
    grad: Tensor,
    state: State,
    elements: slice,
    blocks: slice,
    noise: Tensor,
    *,
    step: int,
    options: AdamOptions,
) -> None:
    shape, (beta1, beta2) = (blocks.stop - blocks.start, -1), options.betas
    param, grad = weights.view(shape), grad.view(shape).float()
    first = decode_signed(state["exp_avg_codes"][elements].view(shape), state["exp_avg_scale"][blocks])
    second = decode_positive(state["exp_avg_sq_codes"][elements].view(shape), state["exp_avg_sq_scale"][blocks])
    first.lerp_(grad, 1 - beta1)
    second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    _store(state, "exp_avg", elements, blocks, *encode_signed(first))
    _store(state, "exp_avg_sq", elements, blocks, *encode_positive(second, noise.view(shape)))
    denominator = second.sqrt_().div_(math.sqrt(1 - beta2**step)).add_(options.eps)
    if options.weight_decay:
        param.mul_(1 - options.lr * options.weight_decay)
    param.add_(first.div_(denominator), alpha=-options.lr / (1 - beta1**step))


def _store(state: State, name: str, elements: slice, blocks: slice, codes: Tensor, scale: Tensor) -> None:
    state[f"{name}_codes"][elements] = codes.view(-1)
    state[f"{name}_scale"][blocks] = scale


def _noise(step: int, piece: int, size: int, device: torch.device) -> Tensor:
    """Return numbers in [0, 1): over 4096 steps each element meets each of 4096 evenly spaced ones once."""
    shift = (step * _STRIDE + piece * 40503) % _NUM_SHIFTS
    return _table(device)[shift : shift + size]


@cache
def _table(device: torch.device) -> Tensor:
    order = torch.randperm(_NUM_SHIFTS, generator=torch.Generator().manual_seed(0))
    return ((order + 0.5) / _NUM_SHIFTS).repeat(_PIECE // _NUM_SHIFTS + 1).to(device)


def adam8bit_direction_(grad: Tensor, state: State, betas: tuple[float, float], eps: float) -> Tensor:
    """Update the 8-bit moments in `state`, and make of `grad` Adam's bias-corrected direction; eps as in a step."""
    adam8bit_step(grad, grad, state, AdamOptions(-1.0, betas, eps, -1.0))  # of a weight it would leave nothing
    return grad


def turn_codes(state: State, turn: Turn) -> None:
    """Express the moments in new bases of the projection; small tensors have them in float32."""
    if "exp_avg" in state:
        state["exp_avg"], state["exp_avg_sq"] = turn.mean(state["exp_avg"]), turn.square(state["exp_avg_sq"])
        return
    first, second = decoded(state, turn.shape_of(state["exp_avg_codes"].numel()))
    encode(state, turn.mean(first), turn.square(second))


def clear_codes(state: State) -> None:
    """Set both moments to zero."""
    for name in ("exp_avg", "exp_avg_sq"):
        for part in (name, f"{name}_codes", f"{name}_scale"):
            if part in state:
                state[part].zero_()
