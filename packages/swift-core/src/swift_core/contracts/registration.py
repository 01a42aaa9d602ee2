"""Plugins registered by a decorator or a mapping: the quick way, for files, notebooks and tests.

    @register_loss("focal")
    class Focal: ...

    LOSS_MAPPING.register("focal")(Focal)      # the same

Both fill one table, which the registry reads beside the installed distributions. What a file registers while it is
loaded belongs to that file (`./my_file.py:focal`), so that two files may use one name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Plugin = TypeVar("Plugin")

_table: dict[tuple[str, str, str], object] = {}
"""(kind, owner, name) -> plugin. The owner is the module of the file that registered it, or empty."""

_owner: ContextVar[str] = ContextVar("owner", default="")


class PluginMapping(Mapping[str, Any]):
    """The registered plugins of one kind, by name. It does not hold those of installed wheels."""

    def __init__(self, kind: str) -> None:
        """Make a view of the plugins of `kind`."""
        self.kind = kind

    def register(self, name: str) -> Callable[[Plugin], Plugin]:
        """Return a decorator that registers its class or function under `name` and returns it unchanged.

        Registering a name again replaces the first, as when a notebook cell is run twice.
        """
        if not (name.isascii() and name.isidentifier() and name.islower()) or name[0] == "_":
            raise ValueError(f"a plugin name is lower-case letters, digits and `_`, a letter first, got {name!r}")

        def keep(plugin: Plugin) -> Plugin:
            _table[self.kind, _owner.get(), name] = plugin
            return plugin

        return keep

    def __getitem__(self, name: str) -> Any:
        return _table[self.kind, "", name]

    def __iter__(self) -> Iterator[str]:
        return iter([name for kind, owner, name in _table if kind == self.kind and not owner])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<registered {self.kind} plugins: {', '.join(self) or 'none'}>"


@contextmanager
def registering_for(owner: str) -> Iterator[None]:
    """Let what is registered inside the block belong to `owner`, the module name of a file."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def registered_by(owner: str, kind: str) -> dict[str, object]:
    """Return the plugins of `kind` registered by the file whose module is `owner`, by name; outside files if empty."""
    return {name: plugin for (k, o, name), plugin in _table.items() if k == kind and o == owner}


LOSS_MAPPING = PluginMapping("loss")
LOSS_SCALE_MAPPING = PluginMapping("loss_scale")
OPTIMIZER_MAPPING = PluginMapping("optimizer")
SCHEDULER_MAPPING = PluginMapping("scheduler")
TUNER_MAPPING = PluginMapping("tuner")
METRIC_MAPPING = PluginMapping("metric")
CALLBACK_MAPPING = PluginMapping("callback")
TRAINER_MAPPING = PluginMapping("trainer")
AGENT_TEMPLATE_MAPPING = PluginMapping("agent_template")
DATASET_MAPPING = PluginMapping("dataset")
ORM_MAPPING = PluginMapping("orm")
PRM_MAPPING = PluginMapping("prm")
ENGINE_MAPPING = PluginMapping("engine")
MULTI_TURN_MAPPING = PluginMapping("multi_turn")
POOL_MAPPING = PluginMapping("pool")
HUB_MAPPING = PluginMapping("hub")
EXPORTER_MAPPING = PluginMapping("exporter")
EVALUATOR_MAPPING = PluginMapping("evaluator")
COMMAND_MAPPING = PluginMapping("command")
HOOKS_MAPPING = PluginMapping("hooks")

register_loss = LOSS_MAPPING.register
register_loss_scale = LOSS_SCALE_MAPPING.register
register_optimizer = OPTIMIZER_MAPPING.register
register_scheduler = SCHEDULER_MAPPING.register
register_tuner = TUNER_MAPPING.register
register_metric = METRIC_MAPPING.register
register_callback = CALLBACK_MAPPING.register
register_trainer = TRAINER_MAPPING.register
register_agent_template = AGENT_TEMPLATE_MAPPING.register
register_dataset = DATASET_MAPPING.register
register_orm = ORM_MAPPING.register
register_prm = PRM_MAPPING.register
register_engine = ENGINE_MAPPING.register
register_multi_turn = MULTI_TURN_MAPPING.register
register_pool = POOL_MAPPING.register
register_hub = HUB_MAPPING.register
register_exporter = EXPORTER_MAPPING.register
register_evaluator = EVALUATOR_MAPPING.register
register_command = COMMAND_MAPPING.register
register_hooks = HOOKS_MAPPING.register
