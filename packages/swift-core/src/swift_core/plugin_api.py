"""The public API for plugin authors. Importing it imports neither torch nor transformers."""

from swift_core.contracts.checks import require_between, require_nonnegative, require_positive
from swift_core.contracts.data import DatasetFormat, Message, PairRow, Record, TextEncoder, TokenRow
from swift_core.contracts.hub import Hub
from swift_core.contracts.loss import Loss, LossOutput, PairOutputs, TokenOutputs
from swift_core.contracts.metric import Generations, Metric, Predictions
from swift_core.contracts.optimizer import OptimizerFactory, ParamGroup, SchedulerFactory
from swift_core.contracts.reward import InferRequest, OutcomeReward, ProcessReward, RewardInputs
from swift_core.contracts.tuner import Tuner
from swift_core.errors import Place, Problem, SwiftError

__all__ = [
    "DatasetFormat",
    "Generations",
    "Hub",
    "InferRequest",
    "Loss",
    "LossOutput",
    "Message",
    "Metric",
    "OptimizerFactory",
    "OutcomeReward",
    "PairOutputs",
    "PairRow",
    "ParamGroup",
    "Place",
    "Predictions",
    "Problem",
    "ProcessReward",
    "Record",
    "RewardInputs",
    "SchedulerFactory",
    "SwiftError",
    "TextEncoder",
    "TokenOutputs",
    "TokenRow",
    "Tuner",
    "require_between",
    "require_nonnegative",
    "require_positive",
]
