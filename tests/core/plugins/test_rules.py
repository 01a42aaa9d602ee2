"""The rules of the plugin border, one by one, on distributions that are really installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from swift_core.contracts.settings import PluginSettings
from swift_core.plugin_api import LOSS_MAPPING, register_loss
from swift_core.plugins.discover import scan
from swift_core.plugins.options import build, read_source
from swift_core.plugins.policy import environment_policy
from swift_core.plugins.registry import PluginError, Registry
from swift_core.plugins.trust import trust

HERE = Path()
FOCAL = {"loss": {"focal": "acme:Focal"}}


# 1. Installed is not active.


def test_a_first_party_name_is_not_shadowed_by_another_wheel(install):
    install("swift-loss-zoo", {"loss": {"dpo": "zoo:DPO"}})
    registry = install("aardvark", {"loss": {"dpo": "aardvark:DPO"}})
    assert registry.resolve("loss", "dpo", HERE).target == "zoo:DPO"
    assert registry.resolve("loss", "aardvark:dpo", HERE).target == "aardvark:DPO"


def test_two_strangers_with_one_name_are_an_error_with_both_ways_out(install):
    install("acme-losses", FOCAL)
    registry = install("swift-focal", {"loss": {"focal": "other:Focal"}})
    with pytest.raises(PluginError) as caught:
        registry.resolve("loss", "focal", HERE)
    assert caught.value.code == "ambiguous-plugin"
    assert caught.value.message == "the loss 'focal' is claimed by acme-losses and by swift-focal."
    assert caught.value.next_step == "write acme-losses:focal, or plugins.prefer: {loss: {focal: acme-losses}}"


def test_both_ways_out_of_an_ambiguity_work(install):
    install("acme-losses", FOCAL)
    registry = install("swift-focal", {"loss": {"focal": "other:Focal"}})
    assert registry.resolve("loss", "swift_focal:focal", HERE).target == "other:Focal"
    preferring = registry.restricted(PluginSettings(prefer={"loss": {"focal": "Swift.Focal"}}))
    assert preferring.resolve("loss", "focal", HERE).target == "other:Focal"


def test_an_ambiguous_name_that_nobody_uses_does_nothing(install):
    install("acme-losses", FOCAL | {"metric": {"f1": "acme:F1"}})
    registry = install("swift-focal", {"loss": {"focal": "other:Focal"}})
    assert registry.resolve("metric", "f1", HERE).distribution == "acme-losses"


def test_a_name_registered_here_cannot_shadow_a_first_party_one(install):
    registry = install("swift-loss-zoo", {"loss": {"dpo": "zoo:DPO"}})
    register_loss("dpo")(object)
    with pytest.raises(PluginError, match="claimed by swift-loss-zoo and by"):
        registry.resolve("loss", "dpo", HERE)
    assert registry.resolve("loss", "swift-loss-zoo:dpo", HERE).target == "zoo:DPO"


def test_blocking_a_first_party_plugin_does_not_hand_its_name_to_a_stranger(install):
    install("swift-loss-zoo", {"loss": {"dpo": "zoo:DPO"}})
    registry = install("aardvark", {"loss": {"dpo": "aardvark:DPO"}})
    blocked = registry.restricted(PluginSettings(block=["swift-loss-zoo"]))
    with pytest.raises(PluginError) as caught:
        blocked.resolve("loss", "dpo", HERE)
    assert caught.value.code == "blocked-plugin"


# 2. One scan.


def test_one_scan_reads_each_entry_points_file_once_for_all_kinds(install, site, monkeypatch):
    install("acme-losses", FOCAL | {"orm": {"brevity": "acme:brevity"}, "metric": {"f1": "acme:F1"}})
    opened = []
    real_open = open

    def counting_open(path, *args, **kwargs):
        opened.append(os.path.basename(str(path)))
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", counting_open)
    registry = Registry(scan([str(site)]))
    for kind in ("loss", "orm", "metric"):
        assert len(registry.specs(kind)) == 1
    assert opened.count("entry_points.txt") == 1


def test_scanning_and_resolving_import_no_plugin(install):
    registry = install("acme-losses", FOCAL, {"acme.py": "raise RuntimeError('imported')"})
    assert registry.resolve("loss", "focal", HERE).target == "acme:Focal"
    assert "acme" not in sys.modules


# 3. Options are the constructor (more in test_options.py).


def test_options_are_read_without_running_the_plugin(install):
    source = """
    raise RuntimeError("imported")

    class Focal:
        def __init__(self, *, gamma: float = 2.0): ...
    """
    registry = install("acme-losses", FOCAL, {"acme.py": source})
    (option,) = read_source(registry.resolve("loss", "focal", HERE)).options
    assert (option.name, option.default) == ("gamma", 2.0)


# 4. A broken plugin that nobody chose does nothing; a chosen one stops the run.


def test_a_broken_plugin_that_is_chosen_says_whose_it_is_and_why(install):
    registry = install("acme-losses", FOCAL, {"acme.py": "import no_such_thing"}, version="1.4")
    with pytest.raises(PluginError) as caught:
        registry.load(registry.resolve("loss", "focal", HERE))
    assert caught.value.code == "broken-plugin"
    expected = "the loss 'focal' of acme-losses 1.4 (acme:Focal) cannot be imported: ModuleNotFoundError: "
    assert caught.value.message.startswith(expected)
    assert caught.value.next_step == "pip install the distribution that has 'no_such_thing'"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize("source", ["raise SystemExit(0)", "1 / 0", "def f(:", "x = 1", "Focal = 3"])
def test_no_way_of_being_broken_escapes_as_anything_but_a_plugin_error(install, source):
    registry = install("acme-losses", {"loss": {"focal": "broken_acme:Focal"}}, {"broken_acme.py": source})
    with pytest.raises(PluginError, match="acme-losses"):
        registry.load(registry.resolve("loss", "focal", HERE))
    sys.modules.pop("broken_acme", None)


def test_a_broken_neighbour_does_not_stop_a_sound_plugin(install):
    install("broken-losses", {"loss": {"bad": "nowhere:Bad"}})
    registry = install("acme-losses", {"loss": {"focal": "sound_acme:Focal"}}, {"sound_acme.py": "class Focal: ..."})
    plugin = registry.load(registry.resolve("loss", "focal", HERE))
    assert plugin.__name__ == "Focal"


def test_a_plugin_for_another_core_is_refused_when_it_is_loaded(install):
    files = {"old_acme.py": "class Focal: ..."}
    registry = install("acme-losses", {"loss": {"focal": "old_acme:Focal"}}, files, requires=["swift-core>=99"])
    spec = registry.resolve("loss", "focal", HERE)
    with pytest.raises(PluginError, match=r"needs swift-core>=99, and swift-core \d") as caught:
        registry.load(spec)
    assert caught.value.code == "incompatible-plugin"


@pytest.mark.parametrize(
    "requirement",
    ["swift-core-extras>=99", "swift_core>=0.0.1,<99", "swift-core>=99; python_version < '3'", "swift-core"],
)
def test_requirements_that_hold_or_name_something_else_are_no_obstacle(install, requirement):
    files = {"new_acme.py": "class Focal: ..."}
    registry = install("acme-losses", {"loss": {"focal": "new_acme:Focal"}}, files, requires=[requirement])
    assert registry.load(registry.resolve("loss", "focal", HERE)).__name__ == "Focal"


# 5. A name, a qualified name, or a file in a folder that is trusted.


def test_a_file_beside_the_run_file_runs_only_from_a_trusted_folder(install, tmp_path):
    registry = install("acme-losses", FOCAL)
    (tmp_path / "my_loss.py").write_text("class Focal: ...", encoding="utf-8")
    spec = registry.resolve("loss", "./my_loss.py:Focal", tmp_path)
    with pytest.raises(PluginError, match="its folder is not trusted") as caught:
        registry.load(spec)
    assert caught.value.code == "untrusted-code"
    assert caught.value.next_step == f"swift trust {tmp_path}, or add --allow-code to this command"
    trust(tmp_path)
    assert registry.load(spec).__name__ == "Focal"


def test_allowing_code_needs_no_trusted_folder(install, tmp_path):
    registry = Registry(install("acme-losses", FOCAL).found, allow_code=True)
    (tmp_path / "my_loss.py").write_text("class Focal: ...", encoding="utf-8")
    assert registry.load(registry.resolve("loss", "my_loss.py:Focal", tmp_path)).__name__ == "Focal"


def test_two_files_of_one_name_do_not_collide(install, tmp_path):
    registry = Registry(install("acme-losses", FOCAL).found, allow_code=True)
    plugins = []
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plugin.py").write_text(f"class Focal: value = {value}", encoding="utf-8")
        plugins.append(registry.load(registry.resolve("loss", "./plugin.py:Focal", tmp_path / folder)))
    assert [plugin.value for plugin in plugins] == [1, 2]
    assert plugins[0].__module__ != plugins[1].__module__


def test_a_file_is_loaded_by_its_content_and_once(install, tmp_path):
    registry = Registry(install("acme-losses", FOCAL).found, allow_code=True)
    file = tmp_path / "plugin.py"

    def load(text):
        file.write_text(text, encoding="utf-8")
        return registry.load(registry.resolve("loss", "./plugin.py:Focal", tmp_path))

    first, again, changed = load("class Focal: a = 1"), load("class Focal: a = 1"), load("class Focal: a = 2")
    assert first is again
    assert (first.a, changed.a) == (1, 2)


# 6. Decorators and mappings.


def test_a_decorated_class_is_found_by_name_and_built(install):
    registry = install("acme-losses", {"metric": {"f1": "acme:F1"}})

    @register_loss("handmade")
    class Handmade:
        def __init__(self, *, gamma: float = 2.0):
            self.gamma = gamma

    spec = registry.resolve("loss", "handmade", HERE)
    assert (spec.distribution, spec.origin) == ("(registered)", "registered")
    assert registry.load(spec) is Handmade
    assert build(registry.load(spec), {"gamma": 3}).gamma == 3.0


def test_a_mapping_registers_the_same_way(install):
    registry = install("acme-losses", {"metric": {"f1": "acme:F1"}})
    LOSS_MAPPING.register("handmade")(dict)
    assert LOSS_MAPPING["handmade"] is dict
    assert list(LOSS_MAPPING) == ["handmade"]
    assert registry.load(registry.resolve("loss", "handmade", HERE)) is dict


def test_a_name_that_a_file_registers_is_reachable_through_the_file_only(install, tmp_path):
    registry = Registry(install("acme-losses", FOCAL).found, allow_code=True)
    text = "from swift_core.plugin_api import register_loss\n@register_loss('focus')\nclass Focal: ...\n"
    (tmp_path / "my_loss.py").write_text(text, encoding="utf-8")
    spec = registry.resolve("loss", "./my_loss.py:focus", tmp_path)
    assert registry.load(spec).__name__ == "Focal"
    with pytest.raises(PluginError, match="no loss named 'focus'"):
        registry.resolve("loss", "focus", HERE)


@pytest.mark.parametrize("name", ["Focal", "fo-cal", "", "2x", "_x"])
def test_a_malformed_name_cannot_be_registered(name):
    with pytest.raises(ValueError, match="a plugin name is lower-case letters"):
        register_loss(name)


# The environment variable, which rule 1 leans on: nothing but what it names takes part.


def test_the_environment_variable_is_an_allow_list(install):
    install("swift-loss-zoo", {"loss": {"dpo": "zoo:DPO"}})
    install("acme-losses", FOCAL)
    found = install("beta-losses", {"loss": {"tversky": "beta:T"}}).found
    registry = Registry(found, policy=environment_policy("Acme_Losses"))
    assert registry.resolve("loss", "focal", HERE).distribution == "acme-losses"
    assert registry.resolve("loss", "dpo", HERE).first_party
    with pytest.raises(PluginError, match="SWIFT_PLUGINS does not name beta-losses"):
        registry.resolve("loss", "tversky", HERE)


def test_an_empty_environment_variable_leaves_first_party_plugins_only(install):
    install("swift-loss-zoo", {"loss": {"dpo": "zoo:DPO"}})
    registry = Registry(install("acme-losses", FOCAL).found, policy=environment_policy(""))
    assert registry.resolve("loss", "dpo", HERE).first_party
    with pytest.raises(PluginError, match="SWIFT_PLUGINS does not name acme-losses"):
        registry.resolve("loss", "acme-losses:focal", HERE)


def test_an_unknown_name_in_the_environment_variable_is_an_error(install):
    registry = Registry(install("acme-losses", FOCAL).found, policy=environment_policy("acme-loses"))
    with pytest.raises(PluginError, match=r"names 'acme-loses', which is not installed. Did you mean 'acme-losses'\?"):
        registry.restricted(PluginSettings())
