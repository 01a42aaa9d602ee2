"""How many processes `--nproc` starts, and which of several tells of an error."""

from __future__ import annotations

import signal

import pytest
from click.testing import CliRunner
from torch.distributed import TCPStore

from swift_core.assemble.broken_part import is_lost_process
from swift_core.cli import launch, speaker, train
from swift_core.config.load import parse
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.machine import Machine
from swift_core.resolve.plan import resolve

RUN = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"


def plan_with(folder, device=""):
    return resolve(parse(RUN + device, folder / "run.yaml"), installed(), machine=Machine(num_gpus=0), planning=True)


def test_a_number_is_taken_as_it_is(tmp_path):
    assert launch.count("3", plan_with(tmp_path).config) == 3


def test_auto_is_what_the_run_file_says(tmp_path):
    assert launch.count("auto", plan_with(tmp_path, "device: {num_processes: 2}\n").config) == 2


def test_auto_is_one_for_each_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr("swift_core.resolve.machine.this_machine", lambda: Machine(num_gpus=4))

    assert launch.count("auto", plan_with(tmp_path).config) == 4


@pytest.mark.parametrize(
    ("asked", "device", "text"),
    [
        ("auto", "", "no GPU is used here"),
        ("auto", "device: {use_cpu: true}\n", "no GPU is used here"),
        ("two", "", "takes a number or auto, got 'two'"),
        ("0", "", "takes a number or auto, got '0'"),
    ],
)
def test_what_cannot_be_counted_is_refused(tmp_path, monkeypatch, asked, device, text):
    monkeypatch.setattr("swift_core.resolve.machine.this_machine", lambda: Machine(num_gpus=0))

    with pytest.raises(SwiftError, match=text):
        launch.count(asked, plan_with(tmp_path, device).config)


def met(folder, nnodes="", device="", **options):
    told = {"rdzv_endpoint": "", "rdzv_id": "swift", "rdzv_conf": "", "local_addr": "", **options}
    return launch.meeting_of(nnodes, plan_with(folder, device).config, **told)


def test_one_machine_meets_nobody(tmp_path):
    assert not met(tmp_path).of_several
    assert not met(tmp_path, "1").of_several


def test_machines_are_those_of_the_run_file_or_of_the_command_line(tmp_path):
    two = met(tmp_path, device="device: {num_processes: 4, nodes: 2}\n", rdzv_endpoint="10.0.0.1:29500")
    assert (two.min_nodes, two.max_nodes) == (2, 2)
    some = met(tmp_path, "1:3", rdzv_endpoint="10.0.0.1:29500", rdzv_conf="keep_alive_interval=1, is_host=true")
    assert (some.min_nodes, some.max_nodes) == (1, 3)
    assert some.rdzv_conf == {"keep_alive_interval": "1", "is_host": "true"}
    assert launch.count("auto", plan_with(tmp_path, "device: {num_processes: 4, nodes: 2}\n").config, 2) == 2


@pytest.mark.parametrize(
    ("nnodes", "options", "text"),
    [
        ("2", {}, "2 machines take part, and --rdzv-endpoint does not say where they meet"),
        ("0", {"rdzv_endpoint": "a:1"}, "--nnodes takes N or MIN:MAX, got '0'"),
        ("3:2", {"rdzv_endpoint": "a:1"}, "--nnodes takes N or MIN:MAX, got '3:2'"),
        ("2", {"rdzv_endpoint": "a:1", "rdzv_conf": "timeout"}, "--rdzv-conf takes KEY=VALUE"),
    ],
)
def test_a_meeting_that_cannot_be_is_refused(tmp_path, nnodes, options, text):
    with pytest.raises(SwiftError, match=text):
        met(tmp_path, nnodes, **options)


def test_the_machine_at_the_endpoint_keeps_the_meeting(monkeypatch):
    for name in ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "set before")
    meeting = launch.Meeting(max_nodes=2, rdzv_endpoint="10.0.0.1:29500", local_addr="10.0.0.1")
    assert launch._together(meeting)["rdzv_configs"] == {"is_host": "true"}
    other = launch.Meeting(max_nodes=2, rdzv_endpoint="10.0.0.1:29500", local_addr="10.0.0.2")
    assert launch._together(other)["rdzv_configs"] == {"is_host": "false"}
    assert launch._interface("127.0.0.1")
    assert launch._interface("192.0.2.77") == ""


def test_those_that_are_there_share_the_rows_of_a_step_out(tmp_path):
    text = "train: {gradient_accumulation_steps: 3}\ndevice: {num_processes: 4, nodes: 2, parallel_method: fsdp2}\n"
    config = plan_with(tmp_path, text).config
    assert launch.shared_out(config, 2, 1) == (
        "device.num_processes=2",
        "device.nodes=1",
        "train.gradient_accumulation_steps=6",
    )
    assert launch.shared_out(config, 1, 1)[-1] == "device.parallel_method=ddp"
    with pytest.raises(SwiftError, match="a step has 12 micro-batches, which 8 processes cannot share evenly"):
        launch.shared_out(config, 8, 4)


def test_what_the_launcher_says_takes_the_place_of_what_was_given(tmp_path, monkeypatch):
    file = tmp_path / "run.yaml"
    file.write_text(RUN)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "1")
    given = ("device.num_processes=2", "output_dir=x", "device.nodes=2", "train.gradient_accumulation_steps=3")
    assert launch.share_out(file, given) == (
        "output_dir=x",
        "device.num_processes=1",
        "device.nodes=1",
        "train.gradient_accumulation_steps=6",
        "device.parallel_method=ddp",
    )


@pytest.mark.parametrize(("code", "exit_code"), [(2, 2), (143, 143), (-signal.SIGKILL, 137), (-signal.SIGSEGV, 139)])
def test_the_exit_code_is_that_of_the_process_that_ended_first(tmp_path, capsys, code, exit_code):
    assert launch._told(plan_with(tmp_path), 1, code) == exit_code
    told = capsys.readouterr().err
    assert ("rank 1 was ended by SIG" in told) == (code < 0)
    assert (" (signal 9); the system kills what needs more memory than there is." in told) == (code == -signal.SIGKILL)
    assert ("train.gradient_checkpointing=true" in told) == (code == -signal.SIGKILL)


def test_nproc_takes_the_place_of_the_number_in_the_run_file_before_it_is_judged(tmp_path, monkeypatch):
    """`tensor_parallel_size: 2` of a file that says nothing of processes takes the two that are started."""
    started = []
    monkeypatch.setattr(launch, "launch", lambda plan, number, arguments, **_: started.append((number, arguments)))
    (tmp_path / "run.yaml").write_text(RUN + "train: {tuner_strategy: full}\ndevice: {tensor_parallel_size: 2}\n")
    done = CliRunner().invoke(train.command, [str(tmp_path / "run.yaml"), "--nproc", "2"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    ((number, arguments),) = started
    assert number == 2
    assert "device.num_processes=2" in arguments
    wrong = CliRunner().invoke(train.command, [str(tmp_path / "run.yaml"), "train.bete=1", "--nproc", "2"])
    assert "train.bete" in str(wrong.exception)


def test_the_only_process_always_tells(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    assert speaker.speaks(ValueError())


def test_of_several_processes_the_first_tells_once_an_attempt(monkeypatch):
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in {
        "WORLD_SIZE": "2",
        "RANK": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }.items():
        monkeypatch.setenv(name, value)

    assert [speaker.speaks(ValueError()) for _ in range(3)] == [True, False, False]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert speaker.speaks(ValueError())
    assert speaker.rank_of() == "rank 1 of 2"


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:54186"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("Connection closed by peer"), False),
    ],
)
def test_a_lost_neighbour_is_told_from_an_error_of_ones_own(error, lost, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_lost_process(error) is lost
    monkeypatch.setenv("WORLD_SIZE", "1")  # who is alone has no neighbour, and a server that he asks is none
    assert not is_lost_process(error)
