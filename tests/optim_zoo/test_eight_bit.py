import pytest
import torch
from tests.reference.trajectory import apply, reload

from swift_optim_zoo import _eight_bit, _steppers
from swift_optim_zoo._turn import Turn
from swift_optim_zoo.adamw8bit import AdamW8bit


@pytest.fixture(autouse=True)
def without_native(monkeypatch):
    """Let adamw8bit take its steps in plain torch, in the codes that these tests are about."""
    monkeypatch.setattr(_steppers, "find_spec", lambda name: None)


def spread(num_blocks, octaves, seed=0):
    """Return float32 numbers over so many powers of two in every block, both signs."""
    generator = torch.Generator().manual_seed(seed)
    exponents = torch.rand(num_blocks, 256, generator=generator) * octaves
    signs = torch.randint(0, 2, exponents.shape, generator=generator) * 2 - 1
    return signs * torch.exp2(-exponents) * torch.arange(1, num_blocks + 1).unsqueeze(1)


def test_signed_numbers_come_back_within_four_percent_or_a_small_share_of_the_largest():
    values = spread(8, 14)
    back = _eight_bit.decode_signed(*_eight_bit.encode_signed(values))
    bound = 0.034 * values.abs() + 1e-5 * values.abs().amax(dim=1, keepdim=True)
    assert ((back - values).abs() <= bound).all()


def test_squares_come_back_within_a_step_and_are_right_in_the_mean():
    values = spread(4, 30).abs()
    total = torch.zeros_like(values)
    noise = torch.rand(400, 1, 1, generator=torch.Generator().manual_seed(1))
    for shift in noise:
        back = _eight_bit.decode_positive(*_eight_bit.encode_positive(values, shift))
        assert ((back / values).log2().abs() < 0.1251).all()
        total += back.log2()
    torch.testing.assert_close(total / 400, values.log2(), atol=0.02, rtol=0)


def test_a_positive_square_never_becomes_zero_and_a_block_of_zeros_stays_zero():
    values = torch.zeros(2, 256)
    values[0, :2] = torch.tensor([1.0, 1e-30])
    back = _eight_bit.decode_positive(*_eight_bit.encode_positive(values, torch.tensor(0.0)))
    assert back[0, 1] > 0
    assert not back[1].any()
    assert not _eight_bit.decode_signed(*_eight_bit.encode_signed(torch.zeros(2, 256))).any()


def test_a_falling_square_falls_although_its_steps_are_below_half_a_code():
    param = torch.nn.Parameter(torch.zeros(4096))
    optimizer = AdamW8bit([param], lr=0.0)
    apply(optimizer, param, [torch.ones(4096)])
    before = _eight_bit.decoded(optimizer.state[param], (4096,))[1].mean()
    quiet = torch.zeros(4096)
    quiet[::256] = 0.99  # keeps the scale of each block
    apply(optimizer, param, [quiet] * 200)
    after = _eight_bit.decoded(optimizer.state[param], (4096,))[1][1:256]
    assert float(after.log2().mean() - before.log2()) == pytest.approx(
        200 * float(torch.tensor(0.999).log2()), abs=0.05
    )


@pytest.mark.parametrize("shape", [(64, 64), (65, 67), (5000,)])
def test_steps_stay_near_those_of_adamw_with_wide_states(shape):
    generator = torch.Generator().manual_seed(0)
    scale = torch.exp2(-torch.rand(shape, generator=generator) * 10)
    start = torch.randn(shape, generator=generator)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.double())
    grads = [torch.randn(shape, generator=generator) * scale for _ in range(50)]
    apply(AdamW8bit([ours], lr=1e-2, weight_decay=0.1, eps=1e-12), ours, grads)
    apply(torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1, eps=1e-12), theirs, [g.double() for g in grads])
    error = (ours.double() - theirs).norm() / (theirs - start.double()).norm()
    assert 1e-4 < error < 0.08


def test_large_tensors_have_two_bytes_a_weight_and_small_ones_eight():
    large, small = torch.nn.Parameter(torch.zeros(64, 64)), torch.nn.Parameter(torch.zeros(4095))
    optimizer = AdamW8bit([large, small])
    large.grad, small.grad = torch.ones(64, 64), torch.ones(4095)
    optimizer.step()

    def size(param):
        return sum(v.untyped_storage().nbytes() for k, v in optimizer.state[param].items() if k != "step")

    assert size(large) == 2 * 4096 + 8 * 16
    assert size(small) == 8 * 4095


def test_resumes_bit_for_bit_with_codes():
    generator = torch.Generator().manual_seed(3)
    grads = [torch.randn(70, 70, generator=generator) for _ in range(8)]
    straight, halfway = torch.nn.Parameter(torch.zeros(70, 70)), torch.nn.Parameter(torch.zeros(70, 70))
    apply(AdamW8bit([straight], lr=0.1), straight, grads)
    first = AdamW8bit([halfway], lr=0.1)
    apply(first, halfway, grads[:4])
    resumed = torch.nn.Parameter(halfway.detach().clone())
    second = AdamW8bit([resumed], lr=0.1)
    second.load_state_dict(reload(first.state_dict()))
    assert second.state[resumed]["exp_avg_codes"].dtype is torch.int8
    apply(second, resumed, grads[4:])
    assert torch.equal(resumed, straight)


def test_moments_that_are_turned_are_read_turned_and_written_again():
    generator = torch.Generator().manual_seed(0)
    state = {}
    _eight_bit.make_codes(state, 512 * 8, torch.device("cpu"))
    first, second = torch.randn(512, 8, generator=generator), torch.rand(512, 8, generator=generator)
    _eight_bit.encode(state, first, second)
    swap = torch.eye(8).flip(1)
    _eight_bit.turn_codes(state, Turn(None, swap))
    turned = _eight_bit.decoded(state, (512, 8))
    assert (turned[0] - first.flip(1)).norm() / first.norm() < 0.05
    assert (turned[1] - second.flip(1)).norm() / second.norm() < 0.1
    _eight_bit.clear_codes(state)
    assert not any(part.any() for part in _eight_bit.decoded(state, (512, 8)))
