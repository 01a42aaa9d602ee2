"""A head whose weights are sharded (FSDP2) is read inside the model's forward pass, where they are gathered."""

import subprocess
import sys
from pathlib import Path


def test_loss_and_gradient_of_two_sharded_ranks_are_those_of_one_process():
    script = Path(__file__).with_name("two_ranks.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("7 cases") == 2
