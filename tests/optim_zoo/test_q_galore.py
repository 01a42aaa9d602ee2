import pytest
import torch
from tests.reference.trajectory import apply, gradients, parameter, reload

from swift_optim_zoo._four_bit import pack, round_to_eight_bits_, unpack
from swift_optim_zoo.galore_adamw import GaLoreAdamW
from swift_optim_zoo.galore_adamw8bit import GaLoreAdamW8bit
from swift_optim_zoo.q_galore import QGaLore


@pytest.mark.parametrize("shape", [(16, 32), (7, 3), (300, 3), (1, 1)])
def test_four_bits_are_within_half_a_step_and_two_go_into_a_byte(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    packed, ranges = pack(values)
    assert packed.numel() == (values.numel() + 1) // 2
    assert packed.dtype is torch.uint8
    back = unpack(packed, ranges, shape)
    step = (values.max() - values.min()) / 15
    assert (back - values).abs().max() <= step / 2 + 1e-6


def test_eight_bits_by_chance_lie_on_a_grid_and_are_right_in_the_mean():
    weights = torch.randn(256, generator=torch.Generator().manual_seed(0))
    mean = torch.zeros(256)
    for seed in range(300):
        rounded = weights.clone()
        round_to_eight_bits_(rounded, seed)
        codes = (rounded - weights.min()) / ((weights.max() - weights.min()) / 255)
        torch.testing.assert_close(codes, codes.round(), atol=1e-2, rtol=0)
        mean += rounded / 300
    step = float(weights.max() - weights.min()) / 255
    assert (mean - weights).abs().max() < 0.15 * step


@pytest.mark.parametrize(("make", "bound"), [(GaLoreAdamW8bit, 0.06), (QGaLore, 0.25)])
def test_stays_near_galore_with_wide_states(make, bound):
    shape, options = (600, 40), {"rank": 8, "lr": 1e-2, "update_proj_gap": 4, "scale": 1.0, "weight_decay": 0.1}
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(600, 8, generator=generator) @ torch.randn(8, 40, generator=generator)
    grads = [common + 0.1 * torch.randn(shape, generator=generator) for _ in range(10)]
    wide, narrow = parameter(shape, dtype=torch.float32), parameter(shape, dtype=torch.float32)
    start = wide.detach().clone()
    apply(GaLoreAdamW([wide], **options), wide, grads)
    apply(make([narrow], **options), narrow, grads)
    error = (narrow - wide).norm() / (wide - start).norm()
    assert 1e-4 < error < bound


@pytest.mark.parametrize("make", [GaLoreAdamW8bit, QGaLore])
@pytest.mark.parametrize("moments", ["align", "rotate", "reset"])
def test_resumes_bit_for_bit_with_codes(make, moments):
    shape, options = (640, 20), {"rank": 8, "lr": 1e-2, "update_proj_gap": 3, "moments": moments}
    grads = gradients(shape, 10, dtype=torch.float32)
    straight, halfway = parameter(shape, dtype=torch.float32), parameter(shape, dtype=torch.float32)
    apply(make([straight], **options), straight, grads)
    first = make([halfway], **options)
    apply(first, halfway, grads[:5])
    assert "exp_avg_codes" in first.state[halfway]
    resumed = torch.nn.Parameter(halfway.detach().clone())
    second = make([resumed], **options)
    second.load_state_dict(reload(first.state_dict()))
    apply(second, resumed, grads[5:])
    assert torch.equal(resumed, straight)


def test_states_of_q_galore_have_a_byte_for_a_moment_and_half_of_one_for_the_projection():
    param = parameter((640, 32), dtype=torch.float32)
    optimizer = QGaLore([param], rank=8)
    apply(optimizer, param, gradients((640, 32), 1, dtype=torch.float32))
    sizes = {k: v.untyped_storage().nbytes() for k, v in optimizer.state[param].items()}
    assert sizes["exp_avg_codes"] == sizes["exp_avg_sq_codes"] == 640 * 8
    assert sizes["basis_right_codes"] == 32 * 8 // 2
    assert sizes["basis_right_range"] == 8


def test_weights_are_taken_from_a_grid_of_256_where_it_is_asked_for():
    param = parameter((16, 16), dtype=torch.float32)
    apply(QGaLore([param], rank=4, weight_bits=8), param, gradients((16, 16), 1, dtype=torch.float32))
    weights = param.detach()
    codes = (weights - weights.min()) / ((weights.max() - weights.min()) / 255)
    torch.testing.assert_close(codes, codes.round(), atol=2e-2, rtol=0)
    with pytest.raises(ValueError, match=r"^weight_bits must be one of 0, 8, got 4$"):
        QGaLore([param], rank=4, weight_bits=4)


def test_refuses_codes_of_another_rank():
    param = parameter((640, 20), dtype=torch.float32)
    optimizer = GaLoreAdamW8bit([param], rank=8)
    apply(optimizer, param, gradients((640, 20), 1, dtype=torch.float32))
    saved = optimizer.state_dict()
    saved["param_groups"][0]["rank"] = 10
    with pytest.raises(ValueError, match=r"a moment is \[5120\], this run needs \[6400\]"):
        GaLoreAdamW8bit([param], rank=10).load_state_dict(saved)
