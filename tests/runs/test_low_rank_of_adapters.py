"""GaLore on the matrices of LoRA adapters: what it projects and what it keeps."""

import json

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat", val_dataset: "demo:chat-heldout"}
train:
  stage: sft
  tuner_strategy: lora
  tuner_kwargs: {lora_rank: 8}
  optimizer_type: galore_adamw
  optimizer_kwargs: {lr: 1.0e-2, rank: 4, update_proj_gap: 4}
  max_steps: 10
  per_device_train_batch_size: 16
  logging_steps: 5
  save_strategy: "no"
output_dir: out
"""


def test_galore_projects_the_matrices_of_adapters_and_keeps_little(swift):
    swift.write("run.yaml", RUN)
    swift("train", "run.yaml")
    out = swift.folder / "out"
    figures = json.loads((out / "result.json").read_text())
    assert figures["after"]["eval_loss"] < 0.9 * figures["before"]["eval_loss"]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    energies = [line["captured_energy"] for line in lines if "captured_energy" in line]
    assert energies
    assert all(0 < energy <= 1 + 1e-6 for energy in energies)
    weights = (out / "adapter" / "adapter_model.safetensors").stat().st_size
    assert 0 < figures["facts"]["optimizer_state_bytes"] < 0.7 * 2 * weights  # AdamW keeps twice the weights
