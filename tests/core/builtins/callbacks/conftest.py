from pathlib import Path
from types import SimpleNamespace

import pytest
import torch


class Run:
    """A run of one trained weight, one frozen: just the events that a callback sees."""

    def __init__(self, folder, callback, eval_strategy="steps"):
        self.model = torch.nn.ParameterDict(
            {"trained": torch.nn.Parameter(torch.zeros(1)), "frozen": torch.nn.Parameter(torch.ones(1), False)}
        )
        self.optimizer = SimpleNamespace(optimizer=torch.optim.SGD([self.model["trained"]], lr=0.1), eval=lambda: None)
        self.args = SimpleNamespace(output_dir=str(folder), eval_strategy=eval_strategy)
        self.state = SimpleNamespace(global_step=0, is_world_process_zero=True)
        self.control = SimpleNamespace(should_evaluate=False, should_training_stop=False)
        self.callback = callback

    def tell(self, event, **values):
        """Call an event of the callback as Trainer does."""
        values = {"model": self.model, "optimizer": self.optimizer, **values}
        getattr(self.callback, event)(self.args, self.state, self.control, **values)

    def step(self, weight):
        """Let training move the weight."""
        self.state.global_step += 1
        self.model["trained"].data.fill_(weight)
        self.tell("on_step_end")

    def evaluate(self, **figures):
        """Log held-out figures and tell them."""
        self.tell("on_log", logs=dict(figures))
        self.tell("on_evaluate", metrics=dict(figures))

    def save(self):
        """Make the checkpoint of this step."""
        self.folder_of_checkpoint.mkdir()
        self.tell("on_save")

    @property
    def folder_of_checkpoint(self):
        return Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"

    @property
    def weight(self):
        return self.model["trained"].item()


@pytest.fixture
def make_run(tmp_path):
    """Return a function (callback) -> a run with it, checkpoints in one folder."""
    return lambda callback, **values: Run(tmp_path, callback, **values)
