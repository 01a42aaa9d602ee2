"""States and float32 weights in host memory: the same steps, in whatever order the copies are made."""

import copy
import io
from collections import deque

import pytest
import torch
from accelerate import Accelerator

from swift_native import SGD, AdamW, Lion
from swift_native._lanes import Lanes
from swift_native._offload import Offload

SHAPES = [(7,), (40, 33), (5, 3), (), (1000,), (257,)]


def parameters(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def set_grads(params, step, dtype=None):
    generator = torch.Generator().manual_seed(100 + step)
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator).to(dtype or param.dtype)


def train(params, optimizer, steps):
    for step in steps:
        set_grads(params, step)
        optimizer.step()


class LazyLanes:
    """Ways on which nothing is copied before somebody waits for it."""

    def __init__(self, _):
        self.waiting = {"out": deque(), "back": deque()}

    def begin(self):
        self.arrive("back", None)  # the device has been told to wait for them

    def out(self, copies):
        return self.start("out", copies)

    def back(self, copies):
        return self.start("back", copies)

    def end(self):
        pass

    def start(self, way, copies):
        event = LazyEvent(self, way)
        self.waiting[way].append((list(copies), event))
        return event

    def arrive(self, way, event):
        queue = self.waiting[way]
        while queue and (event is None or any(other is event for _, other in queue)):
            for target, source in queue.popleft()[0]:
                target.copy_(source)


class LazyEvent:
    def __init__(self, lanes, way):
        self.lanes, self.way = lanes, way

    def synchronize(self):
        self.lanes.arrive(self.way, self)


@pytest.mark.parametrize("lanes", [Lanes, LazyLanes])
@pytest.mark.parametrize("bucket", [256, 512, 1 << 22])
@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (AdamW, {"weight_decay": 0.1}),
        (AdamW, {"amsgrad": True, "maximize": True}),
        (AdamW, {"moments": "bf16", "seed": 3}),
        (AdamW, {"moments": "8bit"}),
        (Lion, {"moments": "8bit"}),
        (SGD, {"momentum": 0.9, "nesterov": True}),
        (SGD, {}),
    ],
)
def test_steps_are_those_of_parameters_in_host_memory_bit_for_bit(cls, options, bucket, lanes):
    near, far = parameters(), parameters()
    plain, offloaded = cls(near, lr=0.01, **options), cls(far, lr=0.01, **options, offload="cpu")
    made = []
    offloaded._offload = Offload(bucket, lambda device: made.append(lanes(device)) or made[-1])
    for step in range(4):
        train(near, plain, [step])
        train(far, offloaded, [step])
        if lanes is LazyLanes:
            made[0].begin()  # as a forward pass would
        for one, other in zip(near, far, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("lanes", [Lanes, LazyLanes])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_weights_are_float32_ones_rounded_to_nearest(dtype, lanes):
    far, wide = parameters(dtype), [torch.nn.Parameter(param.detach().float()) for param in parameters(dtype)]
    offloaded, plain = AdamW(far, lr=1e-4, offload="cpu"), AdamW(wide, lr=1e-4)
    offloaded._offload = Offload(256, lanes)
    for step in range(5):
        set_grads(far, step)
        for one, other in zip(wide, far, strict=True):
            one.grad = other.grad.float()
        offloaded.step()
        plain.step()
    offloaded._offload._lanes[torch.device("cpu")].begin()  # the device waits for what comes back
    for one, other in zip(wide, far, strict=True):
        assert torch.equal(one.detach().to(dtype), other)
        assert torch.equal(one, offloaded.state[other]["master"])


@pytest.mark.parametrize("moments", ["fp32", "8bit"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_resumed_run_is_equal_bit_for_bit(dtype, moments):
    whole = parameters(dtype)
    optimizer = AdamW(whole, lr=0.05, moments=moments, offload="cpu")
    train(whole, optimizer, range(3))
    file = io.BytesIO()
    torch.save((whole, optimizer.state_dict()), file)
    train(whole, optimizer, range(3, 6))
    file.seek(0)
    with torch.serialization.safe_globals([torch.nn.Parameter]):
        resumed, state = torch.load(file, weights_only=True)
    again = AdamW(resumed, moments=moments, offload="cpu")
    again.load_state_dict(state)
    train(resumed, again, range(3, 6))
    for one, other in zip(whole, resumed, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(optimizer.state[one]["master"], again.state[other]["master"])


def test_a_copy_and_what_it_was_copied_from_go_on_alike():
    params = parameters(torch.bfloat16)
    optimizer = AdamW(params, offload="cpu")
    train(params, optimizer, range(2))
    twins, twin = copy.deepcopy((params, optimizer))
    assert twin.offload == "cpu"
    train(params, optimizer, range(2, 4))
    train(twins, twin, range(2, 4))
    assert all(torch.equal(one, other) for one, other in zip(params, twins, strict=True))


def test_states_without_offload_are_taken_over_and_given_back():
    params, others = parameters(), parameters()
    plain, offloaded = AdamW(params, lr=0.02), AdamW(others, lr=0.02, offload="cpu")
    train(params, plain, range(2))
    for one, other in zip(others, params, strict=True):
        one.data.copy_(other)
    offloaded.load_state_dict(copy.deepcopy(plain.state_dict()))
    train(others, offloaded, range(2, 4))
    plain.load_state_dict(copy.deepcopy(offloaded.state_dict()))
    assert "master" not in plain.state[params[0]]
    for one, other in zip(params, others, strict=True):
        one.data.copy_(other)
    train(params, plain, range(4, 6))
    train(others, offloaded, range(4, 6))
    assert all(torch.equal(one, other) for one, other in zip(params, others, strict=True))


def test_float32_weights_beside_bfloat16_ones_are_not_thrown_away():
    params = parameters(torch.bfloat16)
    offloaded = AdamW(params, offload="cpu")
    train(params, offloaded, range(1))
    with pytest.raises(ValueError, match=r"has float32 weights of parameters that are kept in fewer bits: load"):
        AdamW(parameters(torch.bfloat16)).load_state_dict(offloaded.state_dict())


def test_weights_that_something_else_has_written_are_taken_over():
    params = parameters(torch.bfloat16)
    optimizer = AdamW(params, lr=1e-5, offload="cpu")
    train(params, optimizer, range(1))
    kept = optimizer.state[params[4]]["master"].clone()
    with torch.no_grad():
        params[4][:10] = 100.0
    train(params, optimizer, range(1, 2))
    assert torch.equal(params[4][:10].float().round(), torch.full((10,), 100.0))
    assert (optimizer.state[params[4]]["master"][10:] - kept[10:]).abs().max() < 1e-4


def test_a_parameter_with_gaps_is_moved_in_place():
    memory = torch.ones(6, 4)
    param, twin = torch.nn.Parameter(memory[:, ::2]), torch.nn.Parameter(torch.ones(6, 2))
    for one, options in ((param, {"offload": "cpu"}), (twin, {})):
        one.grad = torch.ones(6, 2)
        AdamW([one], lr=0.1, **options).step()
    assert torch.equal(param, twin)
    assert torch.equal(memory[:, 1::2], torch.ones(6, 2))


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_clipping_inside_the_step_is_that_of_torch(scale):
    far, near = parameters(), parameters()
    offloaded, plain = AdamW(far, lr=0.1, max_grad_norm=0.5, eps=1.0, offload="cpu"), AdamW(near, lr=0.1, eps=1.0)
    set_grads(far, 0)
    set_grads(near, 0)
    for param in far:
        param.grad.mul_(scale)
    offloaded.grad_scale = torch.tensor(scale)
    offloaded.step()
    norm = torch.nn.utils.clip_grad_norm_(near, 0.5)
    plain.step()
    assert offloaded.grad_norm == pytest.approx(float(norm), rel=1e-6)
    for one, other in zip(far, near, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_clipping_and_accumulation_by_accelerate_reach_the_step():
    def trained(**options):
        torch.manual_seed(0)
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
        net = torch.nn.Linear(16, 4)
        net, optimizer = accelerator.prepare(net, AdamW(net.parameters(), lr=0.1, **options))
        for _ in range(4):
            with accelerator.accumulate(net):
                accelerator.backward(net(torch.randn(8, 16)).square().sum())
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(net.parameters(), 0.1)
                optimizer.step()
                optimizer.zero_grad()
        return net.weight.detach()

    assert torch.equal(trained(), trained(offload="cpu"))


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ([torch.zeros(2)], {"offload": "gpu"}, "offload must be one of none, cpu, got 'gpu'"),
        ([torch.zeros(2)], {"offload": "cpu", "rounding": "kahan"}, "offload keeps float32 weights, which need no "),
        (
            [torch.zeros(2, device="meta")],
            {"offload": "cpu"},
            "offload cannot train parameter 0 of group 0: it is on",
        ),
        ([torch.zeros(2).double()], {"offload": "cpu"}, "offload cannot train parameter 0 of group 0: it is float64; "),
    ],
)
def test_what_cannot_be_offloaded_is_refused(params, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        AdamW(params, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parameters_on_a_gpu_move_as_those_in_host_memory(dtype):
    near, far = parameters(dtype), [torch.nn.Parameter(param.detach().cuda()) for param in parameters(dtype)]
    one, other = AdamW(near, lr=0.01, offload="cpu"), AdamW(far, lr=0.01, offload="cpu")
    one._offload, other._offload = Offload(512), Offload(512)
    for step in range(5):
        set_grads(near, step)
        for host, device in zip(near, far, strict=True):
            device.grad = host.grad.cuda()
        one.step()
        other.step()
    assert all(torch.equal(host, device.cpu()) for host, device in zip(near, far, strict=True))
    assert all(other.state[param]["exp_avg"].is_pinned() and other.state[param]["master"].is_pinned() for param in far)
