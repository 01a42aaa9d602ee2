"""Call hooks: pluggy with our specifications. Finding hooks is the registry's work, not pluggy's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pluggy

from swift_core.contracts.hooks import PROJECT
from swift_core.plugins import hookspecs
from swift_core.plugins.errors import PluginError
from swift_core.plugins.policy import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable


def manager(hooks: Iterable[object] = ()) -> pluggy.PluginManager:
    """Return a pluggy manager with the specifications of `hookspecs` and with `hooks` registered, in order.

    Raises:
        PluginError: When one implements a hook that does not exist, or asks for an argument that it does not have.
    """
    plugins = pluggy.PluginManager(PROJECT)
    plugins.add_hookspecs(hookspecs)
    for hook in hooks:
        _register(plugins, hook)
    return plugins


def _register(plugins: pluggy.PluginManager, hook: object) -> None:
    name = getattr(hook, "__name__", type(hook).__name__)
    try:
        plugins.register(hook)
        plugins.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        cause = re.sub(r" in plugin <[^>]*>", "", " ".join(str(error).split()))
        known = [spec for spec in dir(hookspecs) if spec.startswith("swift_")]
        unknown = [attribute for attribute in dir(hook) if attribute.startswith("swift_") and attribute not in known]
        hint = did_you_mean(unknown[0], known) if unknown else ""
        message = f"{name} is not a hook of swift: {cause}.{hint}"
        raise PluginError("broken-plugin", message, "see swift_core/plugins/hookspecs.py for the hooks") from error
    if not plugins.get_hookcallers(hook):
        message = f"{name} implements no hook: none of its functions carries @hookimpl."
        raise PluginError("broken-plugin", message, "mark them with swift_core.plugin_api.hookimpl")
