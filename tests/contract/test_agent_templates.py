"""Agent templates: what they write of tools, calls and results, and calls that are read back as they were."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KIND = "agent_template"

MARKS = ("Action:", "Action Input:", "Observation:", "</tool_call>", "<tool_call>", "✿FUNCTION✿:", '{"name": ')
texts = st.text(max_size=12) | st.sampled_from([f"\n{mark} x" for mark in MARKS])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,20}", fullmatch=True)
calls = st.lists(
    st.fixed_dictionaries({"name": names, "arguments": st.dictionaries(texts, values, max_size=3)}),
    min_size=1,
    max_size=3,
)
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city {today}",
        "parameters": {"type": "object", "properties": {"城市": {"type": "string"}}},
    },
}


@many
@given(made=calls, said=st.sampled_from(["", "I look it up.\n", "好\n\n"]))
def test_calls_are_read_back_as_they_were(spec, plugin, made, said):
    text = plugin.format_calls(made)
    assert plugin.parse_calls(said + text) == made
    assert all(call["name"] in text for call in made)


@settings(many, max_examples=20)
@given(results=st.lists(texts, min_size=1, max_size=3))
def test_all_that_tools_say_is_there_in_its_order(spec, plugin, results):
    text = plugin.format_results(results)
    position = 0
    for result in results:
        position = text.index(result, position) + len(result)


@pytest.mark.parametrize("text", ["", "It is sunny.", "多云\n\nFinal: 3 > 2 {x}", "the Action: of a play"])
def test_an_answer_without_a_call_has_none(plugin, text):
    assert list(plugin.parse_calls(text)) == []


def test_a_call_that_is_cut_off_is_malformed(plugin):
    text = plugin.format_calls([{"name": "weather", "arguments": {"city": "Paris"}}])
    with pytest.raises(ValueError, match=r"JSON|closed"):
        plugin.parse_calls(text[: text.index("Paris")])


def test_tools_stand_in_the_system_message_with_what_it_said_before(plugin):
    text = plugin.format_tools([TOOL], "Be brief.")
    assert "Be brief." in text
    assert text.count("Be brief.") == 1
    for part in ("weather", "Weather of a city {today}", "城市"):
        assert part in text
    alone = plugin.format_tools([TOOL], "")
    assert alone == alone.strip()


def test_a_tool_may_lack_all_but_its_name(plugin):
    assert "clock" in plugin.format_tools([{"type": "function", "function": {"name": "clock"}}], "")


def test_results_have_a_speaker(plugin):
    assert plugin.results_role in ("user", "tool", "assistant")


def test_what_a_plan_loads_does_not_import_torch():
    code = (
        "import sys\n"
        "from swift_core.plugins.registry import installed\n"
        "registry = installed()\n"
        "for spec in registry.specs('agent_template'): registry.load(spec)()\n"
        "print(sorted({'torch', 'transformers', 'peft', 'datasets'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
