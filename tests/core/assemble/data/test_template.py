"""The mask against a slow reference that knows each template's text by heart and looks at bytes, not at offsets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swift_core.assemble.spans import RowMistake
from swift_core.assemble.template import encode_conversation, encode_plain, encode_text


def user(content, **more):
    return {"role": "user", "content": content, **more}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def pieces(name, messages):
    """Return the conversation as (text, trained) pieces, written out by hand for each template."""
    made = {"llama3": [("<|begin_of_text|>", False)], "gemma": [("<bos>", False)], "mistral": [("<s>", False)]}.get(
        name, []
    )
    for message in messages:
        trained = message.get("loss", message["role"] == "assistant")
        role, content = message["role"], message["content"]
        if name.startswith("chatml"):
            made += [(f"<|im_start|>{role}\n", False), (content + "<|im_end|>", trained), ("\n", False)]
        elif name == "llama3":
            made += [
                (f"<|start_header_id|>{role}<|end_header_id|>\n\n", False),
                (content.strip() + "<|eot_id|>", trained),
            ]
        elif name == "gemma":
            speaker = "model" if role == "assistant" else role
            made += [
                (f"<start_of_turn>{speaker}\n", False),
                (content.strip() + "<end_of_turn>", trained),
                ("\n", False),
            ]
        elif name == "mistral":
            made.append((f"[INST] {content} [/INST]", False) if role == "user" else (f" {content}</s>", trained))
    return made


def mask_by_bytes(encoder, ids, made):
    """Say of each token whether one of its bytes belongs to a trained character.

    A token's bytes are counted from the vocabulary: a special token is its text, any other one character a byte.
    """
    trained_bytes = [trained for text, trained in made for _ in text.encode()]
    mask, position = [], 0
    for token in ids:
        text = encoder._tokenizer.id_to_token(token)
        length = len(text.encode()) if text in encoder.special_tokens else len(text)
        mask.append(any(trained_bytes[position : position + length]))
        position += length
    assert position == len(trained_bytes)
    return mask


special = st.sampled_from(
    ["<|im_end|>", "<|eot_id|>", "</s>", "<end_of_turn>", "<|endoftext|>", "\n\n", "  ", "é", "漢字", "🦆"]
)
content = st.lists(st.one_of(special, st.text("the cat\n. ;", max_size=8), st.text(max_size=4)), max_size=5).map(
    "".join
)
clean = content.filter(
    lambda text: "\r" not in text and not any(0xD800 <= ord(c) <= 0xDFFF or 0xE000 <= ord(c) <= 0xF8FF for c in text)
)
flags = st.sampled_from([{}, {}, {"loss": True}, {"loss": False}])


@st.composite
def conversations(draw):
    turns = []
    for _ in range(draw(st.integers(1, 3))):
        turns += [user(draw(clean)), assistant(draw(clean), **draw(flags))]
    turns[-1].pop("loss", None)
    return turns


@pytest.mark.parametrize("name", ["chatml", "chatml-marked", "llama3", "gemma", "mistral"])
@given(messages=conversations())
@settings(max_examples=60, deadline=None)
def test_mask_is_that_of_the_slow_reference(encoders, name, messages):
    encoder, made = encoders[name], pieces(name, messages)
    encoded = encode_conversation(encoder, messages)
    assert encoder.render(messages) == "".join(text for text, _ in made)
    assert encoded.ids == encoder.encode("".join(text for text, _ in made))
    assert encoded.trained == mask_by_bytes(encoder, encoded.ids, made)


@pytest.mark.parametrize("name", ["chatml", "llama3", "gemma", "mistral", "phi3"])
def test_end_of_turn_is_trained_at_every_answer_and_nowhere_else(encoders, name):
    encoder = encoders[name]
    end = {
        "chatml": "<|im_end|>",
        "llama3": "<|eot_id|>",
        "gemma": "<end_of_turn>",
        "mistral": "</s>",
        "phi3": "<|end|>",
    }[name]
    messages = [user(f"say {end} please"), assistant("one"), user("again"), assistant("two")]
    encoded = encode_conversation(encoder, messages)
    trained = [encoder.decode([t]) for t, on in zip(encoded.ids, encoded.trained, strict=True) if on]
    assert trained.count(end) == 2
    text = "".join(trained)
    assert "one" in text
    assert "two" in text
    assert "again" not in text
    assert "please" not in text


def test_end_token_is_trained_although_it_pads(encoders):
    encoder = encoders["mistral"]
    assert encoder.pad_token_id == encoder.eos_token_id
    encoded = encode_conversation(encoder, [user("hi"), assistant("hello")])
    assert encoded.ids[-1] == encoder.eos_token_id
    assert encoded.trained[-1]


def test_token_written_only_after_the_last_turn_is_no_hindrance(encoders):
    encoder = encoders["phi3"]
    encoded = encode_conversation(encoder, [user("a"), assistant("b"), user("c"), assistant("d")])
    runs = "".join("T" if on else "." for on in encoded.trained)
    trained = encoder.decode([t for t, on in zip(encoded.ids, encoded.trained, strict=True) if on])
    assert trained == "b<|end|>d<|end|>\n<|endoftext|>"
    assert runs.endswith("TTTT")


def test_first_turns_of_a_prompt_are_not_trained(encoders):
    messages = [user("a"), assistant("b"), user("c"), assistant("d")]
    encoder = encoders["chatml"]
    encoded = encode_conversation(encoder, messages, first=3)
    assert encoder.decode([t for t, on in zip(encoded.ids, encoded.trained, strict=True) if on]) == "d<|im_end|>"


def test_template_that_rewrites_earlier_turns_is_refused(encoders):
    messages = [user("a"), assistant("<think>x</think>b"), user("c"), assistant("d")]
    with pytest.raises(RowMistake, match=r"^The chat template writes turn 2 differently .*'b<\|im_end\|>") as caught:
        encode_conversation(encoders["thinking"], messages)
    assert caught.value.code == "template-not-prefix-stable"
    assert "loss: false" in caught.value.next_step


def test_rewritten_turns_may_be_read_when_they_are_not_trained(encoders):
    messages = [user("a"), assistant("<think>x</think>b", loss=False), user("c"), assistant("d")]
    encoder = encoders["thinking"]
    encoded = encode_conversation(encoder, messages)
    assert encoder.decode([t for t, on in zip(encoded.ids, encoded.trained, strict=True) if on]) == "d<|im_end|>"


def test_missing_template_says_what_to_do(encoders):
    with pytest.raises(RowMistake) as caught:
        encode_conversation(encoders["none"], [user("a"), assistant("b")])
    assert caught.value.code == "no-chat-template"
    assert "model.chat_template" in caught.value.next_step


def test_refusal_keeps_the_words_of_the_template(encoders):
    messages = [{"role": "system", "content": "be good"}, user("a"), assistant("b")]
    with pytest.raises(RowMistake, match="System role not supported") as caught:
        encode_conversation(encoders["gemma"], messages)
    assert caught.value.code == "template-refuses"


def test_conversation_without_a_turn_to_train_is_refused(encoders):
    with pytest.raises(RowMistake) as caught:
        encode_conversation(encoders["chatml"], [user("a"), assistant("b", loss=False)])
    assert caught.value.code == "nothing-trained"


def test_template_that_never_ends_a_turn_is_refused(encoders, model_folder):
    from swift_core.assemble.encoder import LightEncoder

    template = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    template += "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    encoder = LightEncoder.open(model_folder(template))
    with pytest.raises(RowMistake, match=r"ends turn 2 with 'b\\n' and no special token") as caught:
        encode_conversation(encoder, [user("a"), assistant("b")])
    assert caught.value.code == "end-of-turn-not-trained"


def test_generation_blocks_around_the_wrong_text_are_refused(model_folder, templates):
    from swift_core.assemble.encoder import LightEncoder

    wrong = (
        templates["marked"]
        .replace("{{- message.content + '<|im_end|>' }}", "{{- message.content[:2] }}", 1)
        .replace("{% endgeneration %}{{- '\n' }}", "{% endgeneration %}{{- message.content[2:] + '<|im_end|>\n' }}")
    )
    encoder = LightEncoder.open(model_folder(wrong))
    with pytest.raises(RowMistake, match="disagree about 'llo<") as caught:
        encode_conversation(encoder, [user("a"), assistant("hello")])
    assert caught.value.code == "template-marks-disagree"


def test_generation_blocks_may_leave_out_the_end_of_turn(model_folder, templates):
    from swift_core.assemble.encoder import LightEncoder

    short = templates["marked"].replace(
        "+ '<|im_end|>' }}{% endgeneration %}{{- '\n' }}", "}}{% endgeneration %}{{- '<|im_end|>\n' }}"
    )
    encoder = LightEncoder.open(model_folder(short))
    encoded = encode_conversation(encoder, [user("a"), assistant("hello")])
    assert encoder.decode([t for t, on in zip(encoded.ids, encoded.trained, strict=True) if on]) == "hello<|im_end|>"


def test_tool_calls_are_trained(encoders):
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    messages = [user("1+1"), assistant("", tool_calls=[call]), {"role": "tool", "content": "2"}, assistant("it is 2")]
    encoder = encoders["tools"]
    encoded = encode_conversation(encoder, messages, tools=tools)
    trained = encoder.decode([t for t, on in zip(encoded.ids, encoded.trained, strict=True) if on])
    assert trained == '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call><|im_end|>it is 2<|im_end|>'


def test_template_that_drops_tools_or_calls_is_refused(encoders):
    call = {"type": "function", "function": {"name": "add", "arguments": {}}}
    for messages, tools in (
        ([user("add"), assistant("x", tool_calls=[call])], []),
        ([user("1+1"), assistant("x")], [{"type": "function", "function": {"name": "add"}}]),
    ):
        with pytest.raises(RowMistake, match="'add'") as caught:
            encode_conversation(encoders["chatml"], messages, tools=tools)
        assert caught.value.code == "template-drops-tools"


def test_plain_completion_gets_an_end_token_once(encoders):
    encoder = encoders["none"]
    bare, ended = encode_plain(encoder, "the", " cat"), encode_plain(encoder, "the", " cat<|endoftext|>")
    assert bare == ended
    assert bare.ids[-1] == encoder.eos_token_id
    assert bare.trained == [False] * bare.first_trained + [True] * (len(bare.ids) - bare.first_trained)
    assert encoder.decode(bare.ids[bare.first_trained :]) == " cat<|endoftext|>"


def test_token_across_the_border_of_plain_text_is_trained(encoders):
    encoder = encoders["none"]
    encoded = encode_plain(encoder, "the ", "cat")
    assert encoder.decode(encoded.ids[encoded.first_trained :]) == " cat<|endoftext|>"


def test_plain_text_opens_as_the_tokenizer_opens_it_and_is_trained_whole(encoders):
    encoder = encoders["mistral"]
    encoded = encode_text(encoder, "hello there")
    assert encoder.decode(encoded.ids) == "<s>hello there</s>"
    assert all(encoded.trained)
    assert encode_plain(encoder, "<s>hello", " there").ids == encoded.ids
