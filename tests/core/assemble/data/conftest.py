"""Small byte-level tokenizers with chat templates of the field, as model folders; and run plans over them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from swift_core.assemble.encoder import LightEncoder
from swift_core.config.load import load
from swift_core.contracts.handover import RunPlan
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<s>", "</s>", "<|end|>", "<|user|>", "<|assistant|>",
)  # fmt: skip
"""Every special token of the templates below; one tokenizer serves them all."""

TEXT = ["assistant\n\n  the cat said: hello there.\n\nuser\nsystem the the hello  hello\n\n\nx = 1;\n"] * 5

CHATML = """{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""

CHATML_MARKED = """{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\n' }}{% generation %}{{- message.content + '<|im_end|>' }}{% endgeneration %}{{- '\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""

LLAMA3 = """{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"""

GEMMA = """{{- bos_token }}
{%- if messages and messages[0]['role'] == 'system' %}{{- raise_exception('System role not supported') }}{%- endif %}
{%- for message in messages %}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{- '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{%- endif %}"""

MISTRAL = """{{- '<s>' }}
{%- for message in messages %}
{%- if message.role == 'user' %}{{- '[INST] ' + message.content + ' [/INST]' }}
{%- elif message.role == 'assistant' %}{{- ' ' + message.content + eos_token }}
{%- endif %}
{%- endfor %}"""

PHI3 = """{%- for message in messages %}
{{- '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{%- else %}{{- eos_token }}{%- endif %}"""

THINKING = """{%- for message in messages %}
{%- if message.role == 'assistant' and not loop.last %}
{{- '<|im_start|>assistant\n' + message.content.split('</think>')[-1] + '<|im_end|>\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""

TOOLS = """{%- if tools %}{{- '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>' + {'name': call.function.name, 'arguments': call.function.arguments} | tojson + '</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""


def write_model(folder: Path, template: str | None, *, opening: str = "", **config: Any) -> Path:
    """Write a model folder with the small tokenizer; `config` is what tokenizer_config.json says.

    `opening` is the token that the tokenizer itself puts before a text.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    if opening:
        special = [(opening, tokenizer.token_to_id(opening))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{opening} $A", special_tokens=special)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **config}
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a model folder of a template and its named tokens."""

    def make(template: str | None, **config: Any) -> Path:
        config.setdefault("eos_token", "<|im_end|>")
        return write_model(tmp_path_factory.mktemp("model"), template, **config)

    return make


@pytest.fixture(scope="session")
def encoders(model_folder: Callable[..., Path]) -> Mapping[str, LightEncoder]:
    """One encoder for each template; some pad with the end token."""
    made = {
        "chatml": model_folder(CHATML),
        "chatml-marked": model_folder(CHATML_MARKED, pad_token="<|endoftext|>"),
        "llama3": model_folder(LLAMA3, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"),
        "gemma": model_folder(GEMMA, bos_token="<bos>", eos_token="<end_of_turn>", pad_token="<|endoftext|>"),
        "mistral": model_folder(MISTRAL, bos_token="<s>", eos_token="</s>", pad_token="</s>", opening="<s>"),
        "phi3": model_folder(PHI3, eos_token="<|endoftext|>"),
        "thinking": model_folder(THINKING),
        "tools": model_folder(TOOLS),
        "none": model_folder(None, eos_token="<|endoftext|>"),
    }
    return {name: LightEncoder.open(folder) for name, folder in made.items()}


@pytest.fixture(scope="session")
def chatml_folder(model_folder: Callable[..., Path]) -> Path:
    return model_folder(CHATML, pad_token="<|endoftext|>")


@pytest.fixture
def plan_of(tmp_path: Path, chatml_folder: Path) -> Callable[..., RunPlan]:
    """Resolve a run file that is written from sections, beside the files in `tmp_path`."""

    def make(
        data: Mapping[str, Any],
        *,
        model: Path = chatml_folder,
        reward: Mapping[str, Any] | None = None,
        allow_code: bool = False,
        **train: Any,
    ) -> RunPlan:
        sections: dict[str, Any] = {"model": {"model_id": str(model)}, "data": dict(data)}
        sections |= {"train": {"max_steps": 2, **train}, "reward": dict(reward or {})}
        path = tmp_path / "run.yaml"
        path.write_text(json.dumps(sections, indent=1))
        return resolve(load(path), installed(allow_code=allow_code))

    return make


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as a JSONL file."""

    def write(name: str, *rows: Mapping[str, Any]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def templates() -> Mapping[str, str]:
    return {"chatml": CHATML, "marked": CHATML_MARKED, "llama3": LLAMA3, "tools": TOOLS, "phi3": PHI3}
