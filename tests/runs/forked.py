"""`swift ARGUMENTS` in a folder, its output in a file: run by path in a process forked from one that imported torch.

`FOLDER`, `LOG`, `ARGUMENTS` and `ENVIRONMENT` are handed over as globals.
"""

import gc
import multiprocessing
import os
import sys

os.chdir(FOLDER)  # noqa: F821 - handed over
os.environ.update(ENVIRONMENT)  # noqa: F821 - handed over
handle = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # noqa: F821 - handed over
os.dup2(handle, 1)
os.dup2(handle, 2)
sys.stdout = os.fdopen(1, "w", buffering=1)
sys.stderr = os.fdopen(2, "w", buffering=1)
multiprocessing.set_start_method("fork", force=True)  # as in a process of its own; here it is how this one began
gc.freeze()  # what was imported stays: looking through it takes longer than the run

from swift_core.cli.main import main  # noqa: E402 - after the streams are in place

try:
    main(ARGUMENTS)  # noqa: F821 - handed over
finally:
    sys.stdout.flush()
    sys.stderr.flush()
