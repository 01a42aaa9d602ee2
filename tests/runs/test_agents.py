"""Rows with tools, calls and observations train with every agent template, and no observation is learned."""

import json

import pytest

from swift_core.run import run

CALL = {"name": "search", "arguments": {"terms": ["rice", "pêche"], "limit": {"max": 3}}}
OBSERVATION = '{"found": ["congee", "苹果派"], "more": null}'
ROW = {
    "conversations": [
        {"from": "human", "value": "What can I cook?"},
        {"from": "gpt", "value": "Tell me what there is."},
        {"from": "human", "value": "Rice."},
        {"from": "function_call", "value": json.dumps(CALL)},
        {"from": "observation", "value": OBSERVATION},
        {"from": "gpt", "value": "Make congee."},
    ],
    "tools": json.dumps([{"name": "search", "description": "finds recipes", "parameters": {"type": "object"}}]),
}
WITHOUT_TOOLS = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}], "tools": "[]"}
RUN = """\
model: {{model_id: {model}}}
data: {{dataset: rows.json, agent_template: {template}}}
train: {{max_steps: 2, logging_steps: 1, save_strategy: "no", per_device_train_batch_size: 2}}
output_dir: {folder}/out
"""


@pytest.mark.parametrize("template", ["hermes", "react_en", "react_zh", "toolbench", "qwen", "llama3"])
def test_rows_with_tools_train_to_the_end_and_what_tools_said_is_only_read(
    template, tiny_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("swift_core.artifacts.mask_preview.MAX_TOKENS", 100_000)  # ToolBench's instructions are long
    (tmp_path / "rows.json").write_text(json.dumps([ROW, WITHOUT_TOOLS, ROW]), encoding="utf-8")
    (tmp_path / "run.yaml").write_text(
        RUN.format(model=tiny_folder, template=template, folder=tmp_path), encoding="utf-8"
    )

    directory = run(tmp_path / "run.yaml")

    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    shown = json.loads((directory / "result.json").read_text(encoding="utf-8"))["mask_preview"][0]
    learned = "".join(piece["text"] for piece in shown["pieces"] if piece["trained"])
    assert [text in learned for text in ("search", "pêche", "Make congee.", "苹果派", "What can I")] == [
        True,
        True,
        True,
        False,
        False,
    ]
