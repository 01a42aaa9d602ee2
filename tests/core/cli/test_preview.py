"""`swift preview`: what is printed off a terminal."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


@pytest.fixture
def run_file(tmp_path):
    """A run file over a model of single bytes, so that tokens can be counted by eye."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    model = tmp_path / "model"
    model.mkdir()
    tokenizer.save(str(model / "tokenizer.json"))
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": CHATML}))
    (model / "config.json").write_text('{"model_type": "llama"}')

    def write(rows, **sections):
        (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = {"dataset": "data.jsonl", **sections.pop("data", {})}
        path = tmp_path / "run.yaml"
        path.write_text(
            json.dumps({"model": {"model_id": "./model"}, "data": data, "train": {"max_steps": 1, **sections}})
        )
        return path

    return write


def preview(*arguments):
    from click.testing import CliRunner

    from swift_core.cli.preview import command

    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_trained_text_stands_in_brackets(run_file):
    assert preview(run_file([CHAT])) == (
        "data.jsonl: 1 row, format messages, because every row has messages[].role and messages[].content\n"
        "template: the tokenizer's own, prefix-stable yes, generation blocks none\n"
        "\n"
        "data.jsonl:1 · 28 tokens · 6 trained (21%) · end trained yes (<|im_end|>)\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n[hello<|im_end|>]\n\n"
    )


def test_pair_is_shown_as_two_answers(run_file):
    output = preview(run_file([{"prompt": "1+1=", "chosen": "2", "rejected": "3"}], stage="dpo"))
    assert "template: none, the rows are plain text" in output
    assert (
        "data.jsonl:1, chosen · 6 tokens · 2 trained (33%) · end trained yes (<|im_end|>)\n1+1=[2<|im_end|>]\n"
        in output
    )
    assert "data.jsonl:1, rejected · 6 tokens" in output
    assert "1+1=[3<|im_end|>]\n" in output


def test_a_pair_in_a_stage_of_labelled_answers_is_shown_as_two_rows(run_file):
    output = preview(run_file([{"prompt": "1+1=", "chosen": "2", "rejected": "3"}], stage="kto"))
    assert "data.jsonl:1, desirable · 6 tokens" in output
    assert "1+1=[2<|im_end|>]\n" in output
    assert "data.jsonl:1, undesirable · 6 tokens" in output
    assert "1+1=[3<|im_end|>]\n" in output


def test_cut_and_dropped_rows_say_so(run_file):
    long = {"prompt": "abc", "completion": "defgh"}
    limits = {"max_length": 5, "overlong": "truncate"}
    assert "5 tokens · 2 trained (40%) · end trained no · truncated from 9, the answer is cut\nabc[de]\n" in preview(
        run_file([long], data=limits)
    )
    dropped = preview(run_file([long], data=limits | {"overlong": "drop"}))
    assert "data.jsonl:1 · 9 tokens · dropped: longer than data.max_length" in dropped


def test_number_of_rows_is_an_option_and_values_can_be_changed(run_file):
    path = run_file([CHAT] * 5)
    assert preview(path).count(" tokens · ") == 3
    assert preview(path, "--rows", "5").count(" tokens · ") == 5
    assert "be kind" in preview(path, "data.system=be kind")


def test_wrong_row_is_an_error_without_a_traceback_and_without_torch(run_file):
    path = run_file([CHAT, {"messages": [{"role": "bot", "content": "x"}]}])
    code = (
        "import sys\nfrom swift_core.cli.main import main\n"
        f"sys.argv = ['swift', 'preview', {str(path)!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print([m for m in ('torch', 'transformers', 'peft', 'datasets') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == "[]\n"
    assert done.stderr.startswith(
        "data.jsonl:2:1: error[malformed-row]: The row is no messages row: messages[0].role must"
    )
