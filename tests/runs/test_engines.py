"""One run file on one process, on DDP, on FSDP2 and on ZeRO: the same weights, bit for bit, over gloo on CPUs."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from tests.runs.ranks import Ranks, largest_difference, losses, torchrun, weights

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked as on Linux")

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "DATA", val_dataset: "HELD-OUT", shuffle: false}
train:
  stage: STAGE
  tuner_strategy: full
  optimizer_type: adamw
  max_steps: 4
  per_device_train_batch_size: 4
  logging_steps: 1
  max_grad_norm: 0
  max_completion_length: 6
  save_strategy: "no"
output_dir: out
"""
LORA = ("tuner_strategy=lora", "tuner_kwargs={lora_dropout: 0.1}")
DATA = {"sft": "demo:chat", "dpo": "demo:preference", "kto": "rows.jsonl", "grpo": "demo:prompts"}
UNPAIRED = "".join(
    json.dumps({"prompt": f"{a}+2?", "completion": str(a + 2 + (a % 3 == 0)), "label": a % 3 > 0}) + "\n"
    for a in range(1, 40)
)
DRAWS = """\
reward: {orms: [{name: length, kwargs: {max_length: 2, slack: 6}}]}
rollout: {num_generations: 4, temperature: 1.5}
"""
ALONE = ("train.gradient_accumulation_steps=2",)


def shared(method, *more):
    return (f"device.parallel_method={method}", "device.num_processes=2", *more)


@pytest.fixture(scope="module")
def ranks(demo_folder):
    return Ranks()


@pytest.fixture
def folder(tmp_path):
    """Return a function (name, stage) -> a new folder with a run file in it."""

    def make(name, stage="sft"):
        place = tmp_path / name
        place.mkdir()
        data, held_out = DATA[stage], f"{DATA[stage]}-heldout"
        text = RUN.replace("STAGE", stage)
        text = text.replace(', val_dataset: "HELD-OUT"', "") if stage in ("kto", "grpo") else text
        text = text.replace("HELD-OUT", held_out).replace("DATA", data) + (DRAWS if stage == "grpo" else "")
        (place / "run.yaml").write_text(text)
        (place / "rows.jsonl").write_text(UNPAIRED)
        return place

    return make


def train(ranks, place, number, *arguments, code=0):
    return ranks(place, number, "train", "run.yaml", *arguments, code=code, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")


def figures(place):
    """Return the losses of steps and of held-out rows."""
    lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines for name in ("loss", "eval_loss") if name in line]


def engine_of(place):
    return json.loads((place / "result.json").read_text())["facts"]["engine"]


def test_ddp_and_fsdp2_train_as_one_process_with_twice_the_accumulation(ranks, folder):
    one, two, three = folder("one"), folder("ddp"), folder("fsdp2")

    train(ranks, one, 1, *ALONE)
    train(ranks, two, 2, *shared("ddp"))
    train(ranks, three, 2, *shared("fsdp2"))

    assert figures(one / "out") == figures(two / "out") == figures(three / "out")
    assert largest_difference(weights(one / "out"), weights(two / "out")) == 0
    assert largest_difference(weights(one / "out"), weights(three / "out")) == 0
    assert [engine_of(place / "out")["engine"] for place in (one, two, three)] == ["single", "ddp", "fsdp2"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["dpo", "kto", "grpo"])
def test_every_stage_trains_alike_on_ddp_and_fsdp2(ranks, folder, stage):
    one, two, three = (folder(name, stage) for name in ("one", "ddp", "fsdp2"))

    train(ranks, one, 1, *ALONE)
    train(ranks, two, 2, *shared("ddp"))
    train(ranks, three, 2, *shared("fsdp2"))

    assert any(figures(one / "out"))  # something was learned from
    assert figures(one / "out") == figures(two / "out") == figures(three / "out")
    assert largest_difference(weights(one / "out"), weights(two / "out")) == 0
    assert largest_difference(weights(one / "out"), weights(three / "out")) == 0


NEEDS_DEEPSPEED = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed: nox -s engines"
)


@pytest.mark.slow
@NEEDS_DEEPSPEED
@pytest.mark.parametrize("stage", ["sft", "dpo", "kto", "grpo"])
def test_zero_trains_as_one_process(ranks, folder, stage):
    one, two, three = (folder(name, stage) for name in ("one", "zero2", "zero3"))

    train(ranks, one, 1, *ALONE)
    train(ranks, two, 2, *shared("zero2"))
    train(ranks, three, 2, *shared("zero3"))

    assert figures(one / "out") == figures(two / "out")
    assert largest_difference(weights(one / "out"), weights(two / "out")) == 0
    assert figures(three / "out") == pytest.approx(figures(one / "out"), abs=1e-6)
    assert largest_difference(weights(one / "out"), weights(three / "out")) < 1e-6
    assert engine_of(two / "out")["clipping"] == 0


SAVED = ("train.save_strategy=steps", "train.save_steps=2")


@pytest.mark.parametrize("kind", [pytest.param("full", marks=pytest.mark.slow), "sharded"])
def test_a_checkpoint_of_fsdp2_goes_on_exactly_and_on_one_process_too(ranks, folder, kind):
    whole = folder("whole")
    engine = shared("fsdp2", f"device.engine_kwargs.state_dict={kind}", *SAVED)
    train(ranks, whole, 2, *engine)
    again, alone = whole.with_name("again"), whole.with_name("alone")
    shutil.copytree(whole, again)
    shutil.copytree(whole, alone)

    train(ranks, again, 2, *engine, "--resume", "out/checkpoint-2")
    log = train(ranks, alone, 1, *ALONE, *SAVED, "--resume", "out/checkpoint-2")

    assert losses(again / "out") == losses(whole / "out")
    assert largest_difference(weights(again / "out"), weights(whole / "out")) == 0
    assert "as many rows a step, shared out otherwise: " in log
    assert "device.num_processes: 2 -> 1" in log
    assert losses(alone / "out") == pytest.approx(losses(whole / "out"), abs=1e-5)
    assert (whole / "out" / "checkpoint-2" / "shards").is_dir() is (kind == "sharded")


@pytest.mark.slow
@NEEDS_DEEPSPEED
@pytest.mark.parametrize(
    ("method", "optimizer", "tuner"),
    [
        ("zero2", "adamw", ()),
        ("zero3", "adamw", ()),
        ("zero2", "native_adamw", ()),
        ("zero3", "ademamix", ()),
        ("zero2", "adamw", LORA),
        ("zero3", "adamw", LORA),
    ],
)
def test_a_checkpoint_of_zero_goes_on_exactly(ranks, folder, method, optimizer, tuner):
    whole = folder("whole")
    arguments = (f"train.optimizer_type={optimizer}", *(f"train.{option}" for option in tuner))
    engine = shared(method, *SAVED, *arguments)
    train(ranks, whole, 2, *engine)
    again = whole.with_name("again")
    shutil.copytree(whole, again)

    log = train(ranks, again, 2, *engine, "--resume", "out/checkpoint-2")

    assert "going on from out/checkpoint-2" in log
    assert losses(again / "out") == losses(whole / "out")
    assert largest_difference(weights(again / "out"), weights(whole / "out")) == 0
    assert not [path for path in (whole / "out").rglob("*") if path.name.startswith("global_step")]


@pytest.mark.slow
@NEEDS_DEEPSPEED
@pytest.mark.parametrize("first", ["zero2", "zero3", "fsdp2", "ddp"])
def test_zero_takes_up_what_others_wrote_and_they_what_it_wrote(ranks, folder, first):
    whole = folder("whole")
    sharded = ("device.engine_kwargs.state_dict=sharded",) if first == "fsdp2" else ()
    train(ranks, whole, 2, *shared(first, *SAVED), *sharded)
    for second in ("zero2", "zero3", "single"):
        other = whole.with_name(second)
        shutil.copytree(whole, other)
        alone = second == "single"
        engine = (*ALONE, *SAVED) if alone else shared(second, *SAVED)

        log = train(ranks, other, 1 if alone else 2, *engine, "--resume", "out/checkpoint-2")

        assert second == first or "as many rows a step, shared out otherwise: " in log
        assert losses(other / "out") == pytest.approx(losses(whole / "out"), abs=1e-5)
        assert largest_difference(weights(other / "out"), weights(whole / "out")) < 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft reads it
@pytest.mark.parametrize(("method", "kind"), [("ddp", ()), ("fsdp2", ("full",)), ("fsdp2", ("sharded",))])
def test_adapters_with_dropout_go_on_exactly_and_can_be_merged(ranks, folder, method, kind):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    whole = folder("whole")
    options = [f"device.engine_kwargs.state_dict={one}" for one in kind]
    arguments = (*shared(method), *options, *SAVED, *(f"train.{option}" for option in LORA))
    train(ranks, whole, 2, *arguments)
    again = whole.with_name("again")
    shutil.copytree(whole, again)

    train(ranks, again, 2, *arguments, "--resume", "out/checkpoint-2")

    assert losses(again / "out") == losses(whole / "out")
    assert largest_difference(weights(again / "out"), weights(whole / "out")) == 0
    from swift_core.demo.recipe import cached_tiny

    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(cached_tiny()), whole / "out" / "adapter")
    ids = torch.arange(3, 9)[None]
    before = adapted(ids).logits
    merged = adapted.merge_and_unload()
    assert torch.allclose(merged(ids).logits, before, atol=1e-4)
    assert not torch.equal(before, AutoModelForCausalLM.from_pretrained(cached_tiny())(ids).logits)


@pytest.mark.slow
@pytest.mark.parametrize("tuner", [(), LORA], ids=["full", "lora"])
@pytest.mark.parametrize("first", ["single", "fsdp2", "zero2"])
def test_a_run_goes_on_with_more_processes_and_sees_the_same_rows(ranks, folder, first, tuner):
    """Six rows a step, shared out among one, two or three processes; random numbers of dropout would differ."""
    if first == "zero2" and importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed: nox -s engines")
    options = [f"train.{option}".replace("lora_dropout: 0.1", "lora_rank: 4") for option in tuner]
    common = (*SAVED, *options, "data.shuffle=true")

    def share(method, number):
        rows, turns = (3, 2) if number == 1 else (6 // number, 1)
        sizes = (f"train.per_device_train_batch_size={rows}", f"train.gradient_accumulation_steps={turns}")
        return (f"device.parallel_method={method}", f"device.num_processes={number}", *sizes, *common)

    whole = folder("whole")
    began = 1 if first == "single" else 2
    train(ranks, whole, began, *share(first, began))
    after = {("fsdp2", 2), ("fsdp2", 3), ("ddp", 3), (first, 3)} - {(first, began), ("single", 3)}
    for method, number in sorted(after):
        other = whole.with_name(f"{method}-{number}")
        shutil.copytree(whole, other)

        train(ranks, other, number, *share(method, number), "--resume", "out/checkpoint-2")

        assert losses(other / "out") == pytest.approx(losses(whole / "out"), abs=1e-5)
        assert largest_difference(weights(other / "out"), weights(whole / "out")) < 1e-5


FOUR_BITS = '''\
"""LoRA beside weights of four bits, packed here: `model.quantization_bit: 4` is refused on a CPU."""

from dataclasses import dataclass

import torch
from bitsandbytes.nn import Linear4bit, Params4bit

from swift_core.builtins.tuners.lora import Lora


@dataclass(frozen=True, kw_only=True)
class FourBits(Lora):
    """Packs every linear layer but the head, and adapts it."""

    trains_adapter = True

    def prepare_model(self, model):
        """Return the adapted model."""
        for name, module in list(model.named_modules()):
            if type(module) is not torch.nn.Linear or name == "lm_head":
                continue
            how = {"quant_type": "nf4", "quant_storage": torch.float32, "compress_statistics": True}
            packed = Linear4bit(module.in_features, module.out_features, False, torch.float32, **how)
            packed.weight = Params4bit(module.weight.data.clone(), requires_grad=False, module=packed, **how)
            packed.support_avx512bf16_for_cpu = False  # else a CPU that answers packs them anew, for good
            owner, _, last = name.rpartition(".")
            setattr(model.get_submodule(owner), last, packed.to("cpu"))
        model.is_loaded_in_4bit = True  # peft asks
        return super().prepare_model(model)
'''


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("kind", ["full", "sharded"])
def test_adapters_beside_weights_of_four_bits_train_alike_on_fsdp2_and_go_on_exactly(ranks, folder, kind):
    one, whole = folder("one"), folder("whole")
    for place in (one, whole):
        (place / "four.py").write_text(FOUR_BITS)
    tuner = ("--allow-code", "train.tuner_strategy=./four.py:FourBits", *SAVED)
    engine = (*shared("fsdp2", f"device.engine_kwargs.state_dict={kind}"), *tuner)

    train(ranks, one, 1, *ALONE, *tuner)
    train(ranks, whole, 2, *engine)
    again, alone = whole.with_name("again"), whole.with_name("alone")
    shutil.copytree(whole, again)
    shutil.copytree(whole, alone)
    train(ranks, again, 2, *engine, "--resume", "out/checkpoint-2")
    train(ranks, alone, 1, *ALONE, *tuner, "--resume", "out/checkpoint-2")

    assert engine_of(whole / "out")["packed_weights_left_whole"] == 0
    assert figures(one / "out") == figures(whole / "out")
    assert largest_difference(weights(one / "out"), weights(whole / "out")) == 0
    assert losses(again / "out") == losses(whole / "out")
    assert largest_difference(weights(again / "out"), weights(whole / "out")) == 0
    assert losses(alone / "out") == pytest.approx(losses(whole / "out"), abs=1e-5)
    assert not [name for name in weights(whole / "out") if "lora" not in name]


def test_an_error_of_one_rank_is_told_once_by_that_rank_and_nothing_listens_to_other_machines(folder, swift):
    """One rank of two finds its plugin broken; torchrun's own launcher is asked through `--nproc`."""
    place = folder("one")
    (place / "boom.py").write_text(
        "import os\nfrom dataclasses import dataclass\nfrom pathlib import Path\n\nimport psutil\n"
        "from swift_core.plugin_api import LossOutput, TokenOutputs\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Boom:\n    '''Fails on rank 1.'''\n\n"
        "    def __call__(self, tokens: TokenOutputs) -> LossOutput:\n"
        "        launcher = psutil.Process().parent()\n"
        "        every = [launcher, *launcher.children(recursive=True)]\n"
        "        found = [each for process in every for each in process.net_connections('inet')]\n"
        "        listening = {each.laddr.ip for each in found if each.status == 'LISTEN'}\n"
        "        Path(__file__).with_name('listening-' + os.environ['RANK']).write_text(' '.join(listening))\n"
        "        if os.environ['RANK'] == '1':\n            raise ArithmeticError('boom')\n"
        "        return LossOutput(-tokens.logps)\n"
    )
    file = place / "run.yaml"
    file.write_text(file.read_text().replace("DATA", "demo:chat"))

    output = swift("train", file, "train.loss_type=./boom.py:Boom", "--allow-code", "--nproc", "2", code=2)

    assert output.count("error[loss-failed]") == 1
    assert output.count("raised ArithmeticError: boom") == 1
    assert "rank 1 of 2:" in output
    assert "Traceback" not in output
    assert "rank 0 of 2" not in output
    assert (place / "listening-1").read_text() == "127.0.0.1"


@pytest.mark.slow
def test_processes_of_torchrun_itself_listen_on_this_machine_alone_and_its_store_is_told_of(folder):
    place = folder("plain")
    (place / "ears.py").write_text(
        "import os\nfrom pathlib import Path\n\nimport psutil\nfrom transformers import TrainerCallback\n\n\n"
        "class Ears(TrainerCallback):\n    '''Notes where this process listens.'''\n\n"
        "    def on_step_end(self, args, state, control, **kwargs):\n"
        "        found = psutil.Process().net_connections('inet')\n"
        "        listening = {each.laddr.ip for each in found if each.status == 'LISTEN'}\n"
        "        Path(__file__).with_name('listening-' + os.environ['RANK']).write_text(' '.join(listening))\n"
    )

    arguments = (*shared("ddp"), "train.max_steps=1", "train.callbacks=[./ears.py:Ears]", "--allow-code")
    code, output = torchrun(place, "train", "run.yaml", *arguments)

    assert code == 0, output
    assert {(place / f"listening-{rank}").read_text() for rank in range(2)} == {"127.0.0.1"}
    assert output.count("note: the store of torchrun listens on all addresses of this machine") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("distributed", "code"), [("MULTI_GPU", 0), ("MULTI_CPU", 2)])
def test_accelerate_launch_as_it_is_trains_the_same_or_is_refused(ranks, folder, distributed, code):
    """Told MULTI_CPU, accelerate starts one process where two were asked for, and says nothing."""
    one, place = folder("one"), folder("launched")
    told = {"distributed_type": distributed, "use_cpu": True, "num_processes": 2, "num_machines": 1}
    (place / "accelerate.yaml").write_text(json.dumps({**told, "mixed_precision": "no", "main_process_port": 0}))
    launcher = (sys.executable, "-m", "accelerate.commands.launch", "--config_file", "accelerate.yaml")
    done = subprocess.run(
        [*launcher, "--module", "swift_core", "train", "run.yaml", *shared("ddp")],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    output = done.stdout + done.stderr

    if code:
        assert done.returncode != 0, output
        assert "error[no-launcher]" in output
        assert not (place / "out").exists()
        return
    assert done.returncode == 0, output
    train(ranks, one, 1, *ALONE)
    assert engine_of(place / "out")["world"] == 2
    assert figures(one / "out") == figures(place / "out")
    assert largest_difference(weights(one / "out"), weights(place / "out")) == 0


SECRETS = dict.fromkeys(("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY"), "sk-canary-77f0")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["it raises", "it is told", "it is killed"])
def test_of_several_processes_the_one_that_failed_first_tells_once_and_no_secret(folder, swift, way):
    place = folder("fails")
    ends = {
        "it raises": "raise ArithmeticError('boom')",
        "it is told": "raise SwiftError(Problem('of-mine', 'the second process cannot go on.'))",
        "it is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    }
    (place / "ends.py").write_text(
        "import os\nimport signal\n\nfrom transformers import TrainerCallback\n\n"
        "from swift_core.errors import Problem, SwiftError\n\n\n"
        "class Ends(TrainerCallback):\n    '''Fails on rank 1 after a step.'''\n\n"
        "    def on_step_end(self, args, state, control, **kwargs):\n"
        f"        if os.environ['RANK'] == '1':\n            {ends[way]}\n"
    )
    arguments = (place / "run.yaml", "train.callbacks=[./ends.py:Ends]", f"output_dir={place / 'out'}", "--allow-code")
    code, told = {
        "it raises": (2, "ArithmeticError: boom"),
        "it is told": (2, "error[of-mine]: the second process cannot go on."),
        "it is killed": (137, "error[rank-killed]: rank 1 was ended by SIGKILL"),
    }[way]

    output = swift("train", *arguments, "--nproc", "2", code=code, **SECRETS)

    assert output.count(told) == 1, output
    assert output.count("error[") == 1, output
    assert "Traceback" not in output
    assert "rank 0 of 2" not in output
    kept = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert not [value for value in SECRETS.values() if value in output or value.encode() in kept]


@pytest.fixture
def little_memory(request):
    """A control group of so many bytes: a process that enters it gets no more, with all that it starts."""
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    parent, limit = (v1, "memory.limit_in_bytes") if v1.is_dir() else (v2, "memory.max")
    group = parent / f"swift-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(request.param))
        if (group / "memory.swap.max").exists():
            (group / "memory.swap.max").write_text("0")
    except OSError as error:
        pytest.skip(f"a control group for memory takes root: {error}")
    yield group
    group.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("little_memory", [3 << 30], indirect=True)
def test_a_rank_that_the_system_kills_for_want_of_memory_is_told_with_what_to_change(folder, little_memory):
    """A real kill by the kernel, in the code of a loss, which is not blamed; nor does the other rank complain."""
    place = folder("starved")
    (place / "hog.py").write_text(
        "import os\nfrom dataclasses import dataclass\n\n"
        "from swift_core.plugin_api import LossOutput, TokenOutputs\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Hog:\n    '''Takes memory without end on rank 1.'''\n\n"
        "    def __call__(self, tokens: TokenOutputs) -> LossOutput:\n"
        "        kept = []\n"
        "        while os.environ['RANK'] == '1' and os.path.exists('out/checkpoint-1'):\n"
        "            kept.append(b'x' * (1 << 26))\n"
        "        return LossOutput(-tokens.logps)\n"
    )
    file = place / "run.yaml"
    file.write_text(file.read_text().replace('save_strategy: "no"', "save_steps: 1"))
    arguments = ("train", "run.yaml", "train.loss_type=./hog.py:Hog", "--allow-code", "--nproc", "2")
    enter = f"open({str(little_memory / 'cgroup.procs')!r}, 'w').write('0')"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\n{enter}\nfrom swift_core.cli.main import main\nmain(sys.argv[1:])",
            *arguments,
        ],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 137, done.stderr
    assert done.stderr.count("error[") == 1, done.stderr
    assert "error[rank-killed]: rank 1 was ended by SIGKILL (signal 9); the system kills what needs more" in done.stderr
    assert "train.per_device_train_batch_size=2 with train.gradient_accumulation_steps=2" in done.stderr
    assert "rank 0 of 2" not in done.stderr
    assert "Traceback" not in done.stderr
    assert (little_memory / "cgroup.procs").read_text() == ""  # the other rank has ended, too
    assert (place / "out" / "checkpoint-1" / "manifest.json").exists()


@pytest.mark.slow
def test_sigterm_ends_all_ranks_at_one_step_with_a_checkpoint(ranks, folder):
    place, whole = folder("stopped"), folder("whole")
    arguments = (*shared("ddp"), "train.max_steps=40", "train.save_strategy=steps", "train.save_steps=100")
    train(ranks, whole, 2, *arguments)
    processes = ranks.start(place, 2, "train", "run.yaml", *arguments, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    end = time.monotonic() + 100
    while not (place / "out" / "metrics.jsonl").exists() or len(losses(place / "out")) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)

    os.kill(processes[1].pid, signal.SIGTERM)  # only one of them is told
    for process in processes:
        process.join(100)

    assert [process.exitcode for process in processes] == [143, 143]
    assert not (place / "out" / "model").exists()
    (kept,) = (place / "out").glob("checkpoint-*")
    assert int(kept.name.rpartition("-")[2]) < 40
    train(ranks, place, 2, *arguments, "--resume", "auto")
    assert largest_difference(weights(place / "out"), weights(whole / "out")) == 0


@pytest.mark.slow
def test_processes_end_with_their_launcher_and_leave_the_run_to_the_next_start(folder, swift):
    """A launcher that is killed has no last word; its processes must not go on writing into the run directory."""
    place, whole = folder("left"), folder("whole")
    arguments = ("train.max_steps=30", "train.save_strategy=steps", "train.save_steps=5", "train.logging_steps=1")
    swift("train", whole / "run.yaml", *arguments, f"output_dir={whole / 'out'}", "--nproc", "2")
    command = ("train", place / "run.yaml", *arguments, f"output_dir={place / 'out'}", "--nproc", "2")
    launcher = swift.start(*command)
    end = time.monotonic() + 150
    while not (place / "out" / "checkpoint-5").exists():
        assert time.monotonic() < end
        time.sleep(0.01)

    children = psutil.Process(launcher.pid).children(recursive=True)
    launcher.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    launcher.communicate(timeout=10)

    assert len(children) >= 2
    assert alive == []
    assert not (place / "out" / "result.json").exists()
    swift(*command, "--resume", "auto")
    assert largest_difference(weights(place / "out"), weights(whole / "out")) == 0


@pytest.mark.slow
def test_a_worker_that_is_killed_comes_back_by_itself(folder, swift):
    """torchrun starts all processes again, and they go on from the last checkpoint as if nothing had happened."""
    place, whole = folder("killed"), folder("whole")
    arguments = ("train.max_steps=30", "train.save_strategy=steps", "train.save_steps=5", "train.logging_steps=1")
    swift("train", whole / "run.yaml", *arguments, f"output_dir={whole / 'out'}", "--nproc", "2")
    launcher = swift.start(
        *("train", place / "run.yaml", *arguments, f"output_dir={place / 'out'}", "--nproc", "2", "--max-restarts", "1")
    )
    end = time.monotonic() + 150
    while not (place / "out" / "checkpoint-5").exists():
        assert time.monotonic() < end
        time.sleep(0.01)

    children = psutil.Process(launcher.pid).children(recursive=True)
    rank_one = next(child for child in children if child.environ().get("RANK") == "1")
    rank_one.kill()
    output, _ = launcher.communicate(timeout=200)

    assert launcher.returncode == 0, output
    assert "resume: going on from" in output
    assert largest_difference(weights(place / "out"), weights(whole / "out")) == 0
