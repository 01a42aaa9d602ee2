"""The confined process that runs one program: a snippet that a model wrote, with an input, and then ends.

The expected output is not here: whoever runs the program compares. The job comes through a descriptor of its own, so
that descriptors 0, 1 and 2 are the program's.
"""

from __future__ import annotations

import json
import os
import sys
import types

from swift_core.sandbox.child.confine import confine, confinement_from

OUT_OF_MEMORY = 86
"""Exit code of a program that ended with a MemoryError."""

NOT_CONFINED = 87
"""Exit code when the level that is required was not reached; the program was not run."""


def main(descriptor: int) -> None:
    """Run the job that can be read from `descriptor`."""
    with open(descriptor, "rb") as file:
        job = json.load(file)
    outcome = confine(confinement_from(job["confinement"]), job["host"])
    if outcome.level < job["require"]:
        sys.stderr.write(json.dumps({"level": outcome.level, "reasons": outcome.reasons}))
        sys.stderr.flush()
        os._exit(NOT_CONFINED)
    sys.path[:] = [path for path in sys.path if path not in job["hidden"]] + job["path"]
    sys.argv[:] = ["program.py"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "swift_core"]:
        del sys.modules[name]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        exec(compile(job["code"], "program.py", "exec", dont_inherit=True), module.__dict__)
        sys.stdout.flush()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
