"""Stop training when the logged loss has fallen far enough."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from swift_core.plugin_api import require_positive


class StopAtLoss(TrainerCallback):
    """Stop at the first logged training loss under a limit."""

    def __init__(self, *, loss: float = 0.05) -> None:
        """Stop under `loss`, > 0."""
        require_positive(loss=loss)
        self.loss = loss

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> TrainerControl:
        """Ask the trainer to stop when `logs` has a loss under the limit."""
        if logs and logs.get("loss", self.loss) < self.loss:
            control.should_training_stop = True
        return control
