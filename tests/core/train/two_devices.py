"""Run by test_device_map.py: runs with the model on two devices, `python two_devices.py RUN_FILE ARGUMENT...`.

Some modules stay on the CPU and some lie on `twin:0`. Only the finding of the map and the loading onto two devices are
replaced: on a machine with GPUs accelerate and transformers do both.
"""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import dispatch_model

import swift_core.assemble.device_map
import swift_core.assemble.model
from swift_core.run import run
from swift_core.train.logps import HeadCall

NAME = "twin:0"
ON_SECOND = {"lm_head": ["model.embed_tokens", "lm_head"], "score": ["model.layers.1", "model.norm", "score"]}
"""By head: what lies on the second device. The head of the demo model has the weights of its embeddings."""


def spread(plan, folder):
    head = "score" if plan.procedure.plugin.name in ("rm", "seq_cls") else "lm_head"
    names = ["model.embed_tokens", "model.rotary_emb", "model.layers.0", "model.layers.1", "model.norm", head]
    return {name: NAME if name in ON_SECOND[head] else "cpu" for name in names}


def is_plain(head):
    own = getattr(head.forward, "__func__", None)
    return isinstance(head.module, torch.nn.Linear) and own is torch.nn.Linear.forward


load = swift_core.assemble.model.load_weights


def load_spread(folder, loading):
    model = load(folder, replace(loading, device_map=None))
    importlib.import_module("tests.core.train.twin")  # now: buffers of a model that is loaded after it hold anything
    return dispatch_model(model, dict(loading.device_map), main_device="cpu") if loading.device_map else model


swift_core.assemble.device_map.device_map_of = spread
swift_core.assemble.model.load_weights = load_spread
HeadCall.is_plain = property(is_plain)  # weights on `twin:0` are of a subclass, as those of no real device are

if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
