"""The encoder without transformers against the one with it, and both against transformers itself."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from swift_core.assemble.encoder import HfEncoder, LightEncoder, NoChatTemplate

FEATURES = """{%- set seen = namespace(count=0) %}
{%- for message in messages %}
{%- if message.role == 'system' %}{%- continue %}{%- endif %}
{%- set seen.count = seen.count + 1 %}
{%- if seen.count > 4 %}{%- break %}{%- endif %}
{{- '<|im_start|>' ~ message.role ~ ' ' ~ seen.count ~ ' ' ~ strftime_now('%Y') ~ '\n' ~ message.content | tojson }}
{%- if message.reasoning_content is defined %}{{- '(' ~ message.reasoning_content ~ ')' }}{%- endif %}
{{- dict(a=1)['a'] ~ bos_token ~ (name or '') ~ '<|im_end|>' }}
   {% if true %}
   indented
   {% endif %}
{%- endfor %}
{%- if tools is not none %}{{- tools | tojson(indent=2) }}{%- endif %}
{%- if documents is none and add_generation_prompt %}{{- 'next' }}{%- endif %}"""

BEGIN = {"__type": "AddedToken", "content": "<|begin_of_text|>", "special": True}

messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text(max_size=12)},
        optional={"reasoning": st.text(max_size=4), "name": st.none()},
    ),
    min_size=1,
    max_size=6,
)
tool = {"type": "function", "function": {"name": "<find>", "description": "é & co", "parameters": {}}}


@pytest.fixture(scope="module")
def pairs(model_folder, templates):
    """(light encoder, wrapped encoder, transformers tokenizer) of several folders."""
    made = {}
    for name, (template, config) in {
        "features": (FEATURES, {"bos_token": "<s>"}),
        "marked": (templates["marked"], {"pad_token": "<|endoftext|>"}),
        "llama3": (templates["llama3"], {"bos_token": BEGIN, "opening": "<|begin_of_text|>"}),
        "extra": (templates["chatml"], {"extra_special_tokens": ["<think>"], "unk_token": "<unk>"}),
    }.items():
        folder = model_folder(template, **config)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        variables = {"name": "Ann"}
        made[name] = (LightEncoder.open(folder, "", variables), HfEncoder(tokenizer, variables), tokenizer)
    return made


@pytest.mark.parametrize("name", ["features", "marked", "llama3", "extra"])
@given(turns=messages, tools=st.sampled_from([(), (tool,)]), prompt=st.booleans())
@settings(max_examples=40, deadline=None)
def test_text_and_ids_are_those_of_transformers(pairs, name, turns, tools, prompt):
    light, wrapped, tokenizer = pairs[name]
    asked = {"tools": list(tools) or None, "add_generation_prompt": prompt, "name": "Ann"}
    text = tokenizer.apply_chat_template(turns, tokenize=False, **asked)
    ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, **asked)["input_ids"]
    for encoder in (light, wrapped):
        assert encoder.render(turns, tools=tools, add_generation_prompt=prompt) == text
        assert encoder.encode(text) == ids
        assert encoder.encode_with_offsets(text)[0] == ids
        assert encoder.decode(ids) == tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("name", ["features", "marked", "llama3", "extra"])
def test_named_tokens_are_those_of_transformers(pairs, name):
    light, wrapped, tokenizer = pairs[name]
    for encoder in (light, wrapped):
        assert encoder.eos_token_id == tokenizer.eos_token_id
        assert encoder.pad_token_id == (
            tokenizer.eos_token_id if tokenizer.pad_token is None else tokenizer.pad_token_id
        )
        assert [*encoder.opening_ids, *encoder.encode("hi")] == tokenizer("hi")["input_ids"]
        assert encoder.special_tokens >= set(tokenizer.all_special_tokens)
    assert light.special_tokens == wrapped.special_tokens


def test_wrapping_leaves_the_tokenizer_alone(pairs):
    _, _, tokenizer = pairs["llama3"]
    before = tokenizer("hi")["input_ids"]
    HfEncoder(tokenizer).encode("hi")
    assert tokenizer("hi")["input_ids"] == before


@given(text=st.text(max_size=30).filter(lambda t: not any(0xD800 <= ord(c) <= 0xDFFF for c in t)))
@settings(max_examples=60, deadline=None)
def test_offsets_cover_the_text_without_a_gap(encoders, text):
    ids, offsets = encoders["chatml"].encode_with_offsets(text)
    assert len(ids) == len(offsets)
    covered = {position for start, end in offsets for position in range(start, end)}
    assert covered == set(range(len(text)))


def test_generation_marks_are_those_of_transformers(pairs):
    light, _, tokenizer = pairs["marked"]
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "é b"},
        {"role": "user", "content": "c"},
    ]
    asked = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    text, marks = light.render(turns), light.generation_marks(turns)
    assert [text[start:end] for start, end in marks] == ["é b<|im_end|>"]
    marked = [t for t, on in zip(asked["input_ids"], asked["assistant_masks"], strict=True) if on]
    assert light.decode(marked) == "é b<|im_end|>"


def test_template_in_the_run_file_replaces_the_folders_own(model_folder, templates):
    folder = model_folder(templates["llama3"])
    encoder = LightEncoder.open(folder, "{{ messages[0].content ~ eos_token }}")
    assert encoder.render([{"role": "user", "content": "hi"}]) == "hi<|im_end|>"


def test_template_for_tools_is_taken_when_there_are_tools(model_folder):
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "with tools"}]
    encoder = LightEncoder.open(model_folder(None, chat_template=named))
    turns = [{"role": "user", "content": "hi"}]
    assert encoder.render(turns) == "plain"
    assert encoder.render(turns, tools=[tool]) == "with tools"


def test_template_in_the_configuration_is_read(model_folder):
    encoder = LightEncoder.open(model_folder(None, chat_template="from the configuration"))
    assert encoder.render([{"role": "user", "content": "hi"}]) == "from the configuration"


def test_rendering_without_a_template_says_so(encoders):
    with pytest.raises(NoChatTemplate, match="no chat template"):
        encoders["none"].render([{"role": "user", "content": "hi"}])


def test_template_that_cannot_be_compiled_names_its_line(model_folder):
    with pytest.raises(ValueError, match=r"syntax error in its line 2"):
        LightEncoder.open(model_folder(None), "line\n{% if %}")


@pytest.mark.parametrize(
    "attack", ["{{ messages.__class__ }}", "{{ ''.__class__.__mro__ }}", "{% set _ = messages.append(1) %}"]
)
def test_template_cannot_reach_python(model_folder, attack):
    encoder = LightEncoder.open(model_folder(None), attack + "{{ cycler.__init__.__globals__ }}")
    with pytest.raises(ValueError, match="refuses"):
        encoder.render([{"role": "user", "content": "hi"}])


def test_folder_without_a_tokenizer_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        LightEncoder.open(tmp_path)


def test_tokenizer_without_an_end_token_is_refused(model_folder):
    folder = model_folder(None)
    settings_file = folder / "tokenizer_config.json"
    settings_file.write_text(json.dumps({"bos_token": "<s>"}))
    with pytest.raises(ValueError, match="names no eos_token"):
        LightEncoder.open(folder)
