"""From arguments to a migrated run file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.ms_swift.migrate.migration import Migration, NotCarried, as_list
from swift_core.ms_swift.migrate.parts import (
    settle_data,
    settle_files,
    settle_lists,
    settle_model,
    settle_optimizer,
    settle_processes,
    settle_steps,
    settle_tuner,
)
from swift_core.ms_swift.migrate.rollouts import settle_rollouts
from swift_core.ms_swift.migrate.stage import settle_stage
from swift_core.ms_swift.migrate.tables import FALSY_IS_NOTHING, KEYS, LOST, WITHOUT_EFFECT
from swift_core.ms_swift.migrate.words import defaults_of, program_of, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.ms_swift.migrate.given import Argument

_ROWS_OF_A_STEP = 16
"""ms-swift fills a step up to so many rows when accumulation is not given."""

_RATES = {"full": 1e-5}


@dataclass(frozen=True, slots=True)
class Migrated:
    """A run file, and what of the arguments is not in it."""

    program: str
    run: Mapping[str, Any]
    """Dotted key -> value, in the order of a run file."""

    remarks: Mapping[str, str]
    not_carried: tuple[NotCarried, ...]

    @property
    def lost(self) -> tuple[NotCarried, ...]:
        """What makes the run another one."""
        return tuple(one for one in self.not_carried if one.loses)


def migrate(arguments: Sequence[Argument], command: str = "", program: str = "") -> Migrated:
    """Return the run file that arguments mean.

    Args:
        arguments: As they were given.
        command: `pt`, `sft`, `rlhf`, ...; empty lets the arguments say it.
        program: Whose words they are; empty lets the arguments say it.

    Raises:
        SwiftError: No stage here does what they ask for.
    """
    program = program or program_of(arguments)
    command, given = translated(program, command, arguments)
    left = {argument.name: argument for argument in given}
    migration = Migration("rlhf" if "rlhf_type" in left else command, left, defaults_of(program))
    settle_files(migration)
    settle_processes(migration)
    stage = settle_stage(migration)
    settle_model(migration)
    settle_data(migration, stage)
    settle_tuner(migration)
    _plain_keys(migration, program)
    settle_optimizer(migration)
    settle_steps(migration, auto=_ROWS_OF_A_STEP if program == "ms-swift" else 0)
    settle_lists(migration)
    settle_rollouts(migration, stage)
    _rest(migration)
    return Migrated(program, migration.run, migration.remarks, tuple(migration.not_carried))


def _plain_keys(migration: Migration, program: str) -> None:
    for name, key in KEYS.items():
        migration.carry(name, key)
    if program == "ms-swift" and "train.learning_rate" not in migration.run:
        rate = _RATES.get(str(migration.run["train.tuner_strategy"]), 1e-4)
        migration.put("train.learning_rate", rate, remark="their default")
    for key in ("data.max_length", "train.save_total_limit"):
        if migration.run.get(key) in (None, 0):
            migration.run.pop(key, None)


def _rest(migration: Migration) -> None:
    """Name all that is left."""
    for name, argument in list(migration.left.items()):
        if name in FALSY_IS_NOTHING and not _asks(argument.value):
            migration.left.pop(name)
        elif name in WITHOUT_EFFECT:
            migration.lose(name, WITHOUT_EFFECT[name], loses=False)
        elif name in LOST:
            migration.lose(name, LOST[name])
        elif not _asks(argument.value):
            migration.lose(name, "nothing here has this name, and it asks for nothing", loses=False)
        else:
            migration.lose(name, "nothing here has this name")


def _asks(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return value not in (0, 1, "", "none", "None") and as_list(value) != []
