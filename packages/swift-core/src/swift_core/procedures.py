"""What a procedure of another wheel (`swift.trainers`) builds on. Importing it imports torch and transformers.

`SwiftTrainer` is the base of all procedures: a subclass says what its rows are, counts the items of a batch and makes
the lazy outputs that losses read. `Supervised` and `Preference` are those of the stages `sft` and `dpo`, to change one
thing of them. `ScoredTokens` is one forward pass, and `token_outputs` and `pair_outputs` are what losses see of it.
"""

from swift_core.train.outputs import IGNORED, ScoredTokens, pair_outputs, token_outputs
from swift_core.train.preference import Preference
from swift_core.train.supervised import Supervised
from swift_core.train.trainer import Batch, SwiftTrainer

__all__ = [
    "IGNORED",
    "Batch",
    "Preference",
    "ScoredTokens",
    "Supervised",
    "SwiftTrainer",
    "pair_outputs",
    "token_outputs",
]
