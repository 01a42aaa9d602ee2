from __future__ import annotations

import pytest

from swift_core.plugin_api import hookimpl
from swift_core.plugins import hookspecs
from swift_core.plugins.hooks import manager
from swift_core.plugins.registry import PluginError

MOMENTS = {
    "swift_validate_config",
    "swift_plan_ready",
    "swift_train_begin",
    "swift_step_end",
    "swift_evaluated",
    "swift_checkpoint_saved",
    "swift_rollouts_scored",
    "swift_train_end",
    "swift_report_section",
}


def test_the_specified_moments_are_these():
    named = {name for name in dir(hookspecs) if name.startswith("swift_") and name != "swift_core"}
    assert named == MOMENTS
    assert all(getattr(hookspecs, name).__doc__ for name in MOMENTS)


def test_an_implementation_takes_the_arguments_it_needs():
    class Observer:
        seen = ()

        @hookimpl
        def swift_step_end(self, step):
            self.seen = (*self.seen, step)

    observer = Observer()
    manager([observer]).hook.swift_step_end(parts=None, step=3, metrics={})
    assert observer.seen == (3,)


def test_every_hook_answers_and_the_last_enabled_is_first():
    class Section:
        def __init__(self, title):
            self.title = title

        @hookimpl
        def swift_report_section(self):
            return self.title

    hooks = manager([Section("a"), Section("b")]).hook
    assert hooks.swift_report_section(result=None) == ["b", "a"]


def test_no_hooks_make_no_calls():
    assert manager().hook.swift_train_end(result=None) == []


def test_a_misspelled_hook_is_an_error_with_the_nearest_name():
    class Observer:
        @hookimpl
        def swift_step_ends(self): ...

    with pytest.raises(PluginError, match=r"Observer is not a hook of swift: .*Did you mean 'swift_step_end'\?"):
        manager([Observer()])


def test_an_argument_that_a_hook_does_not_have_is_an_error():
    class Observer:
        @hookimpl
        def swift_step_end(self, loss): ...

    with pytest.raises(PluginError, match=r"Observer is not a hook of swift: .*loss"):
        manager([Observer()])


def test_a_plugin_without_a_marked_function_is_an_error():
    class Observer:
        def swift_step_end(self): ...

    with pytest.raises(PluginError, match="Observer implements no hook"):
        manager([Observer()])
