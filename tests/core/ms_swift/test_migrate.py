"""Arguments of other programs become run files that mean the same, and what cannot be carried is named."""

import shlex

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from swift_core.cli.migrate import command
from swift_core.config.load import load
from swift_core.errors import SwiftError
from swift_core.ms_swift.migrate.convert import migrate
from swift_core.ms_swift.migrate.given import of_file, of_words
from swift_core.ms_swift.migrate.tables import KEYS, LOST, WITHOUT_EFFECT
from swift_core.ms_swift.migrate.write import written
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve

MODEL = "--model demo:tiny --torch_dtype float32"
CHAT = f"{MODEL} --dataset demo:chat#200 --val_dataset demo:chat-heldout"
PAIRS = f"{MODEL} --dataset demo:preference --split_dataset_ratio 0.1"
PROMPTS = f"{MODEL} --dataset demo:prompts --reward_funcs accuracy format --reward_weights 1 0.5"

SETS = {
    "sft lora": (
        f"swift sft {CHAT} --train_type lora --lora_rank 8 --lora_alpha 32 --target_modules all-linear "
        "--num_train_epochs 1 --per_device_train_batch_size 1 --learning_rate 1e-4 --gradient_accumulation_steps 16 "
        "--eval_steps 50 --save_steps 50 --save_total_limit 2 --logging_steps 5 --max_length 2048 --output_dir output "
        "--eval_strategy steps --warmup_ratio 0.05 --dataloader_num_workers 4 --dataset_num_proc 4 --seed 7",
        {
            "train.stage": "sft",
            "train.tuner_kwargs": {
                "lora_rank": 8,
                "lora_alpha": 32,
                "lora_dropout": 0.05,
                "target_modules": "all-linear",
            },
            "train.warmup_steps": 0.05,
            "train.adam_beta2": 0.95,
            "train.weight_decay": 0.1,
            "data.overlong": "drop",
            "data.dataset": "demo:chat#200",
        },
    ),
    "sft full with GaLore": (
        f"swift sft {CHAT} --train_type full --use_galore true --galore_rank 64 --galore_update_proj_gap 100 "
        "--truncation_strategy right --loss_scale last_round+ignore_empty_think --eval_metric acc --packing true",
        {
            "train.tuner_strategy": "full",
            "train.learning_rate": 1e-5,
            "train.optimizer_type": "galore_adamw",
            "train.optimizer_kwargs": {"rank": 64, "update_proj_gap": 100},
            "data.overlong": "truncate",
            "train.loss_scale": ["last_round", "ignore_empty_think"],
            "train.metrics": ["acc"],
            "train.gradient_accumulation_steps": 16,
        },
    ),
    "sft with DoRA, PiSSA and early stopping": (
        f"swift sft {CHAT} --tuner_type lora --use_dora true --init_weights gaussian --use_rslora true "
        "--lorap_lr_ratio 16 --early_stop_interval 3 --lr_scheduler_type cosine_with_min_lr "
        "--lr_scheduler_kwargs '{\"min_lr_rate\": 0.1}' --optim adamw_torch_fused --attn_impl sdpa",
        {
            "train.tuner_strategy": "dora",
            "train.callbacks": [{"name": "early_stopping", "kwargs": {"patience": 3}}],
            "train.lr_scheduler_kwargs": {"min_lr_rate": 0.1},
            "model.attn_implementation": "sdpa",
        },
    ),
    "pt": (
        f"NPROC_PER_NODE=2 CUDA_VISIBLE_DEVICES=0,1 swift pt {MODEL} --dataset demo:chat "
        "--train_type full --packing true --max_length 512 --max_steps 10 "
        "--fsdp fsdp2 --save_strategy no --report_to none",
        {
            "train.stage": "pt",
            "train.packing": True,
            "device.parallel_method": "fsdp2",
            "device.num_processes": 2,
            "train.save_strategy": "no",
        },
    ),
    "dpo": (
        f"swift rlhf --rlhf_type dpo {PAIRS} --beta 0.2 --loss_type sigmoid --label_smoothing 0.1 --rpo_alpha 0.1",
        {
            "train.stage": "dpo",
            "train.loss_type": "mixture",
            "train.loss_kwargs": {
                "losses": [
                    {"name": "dpo", "weight": 1.0, "kwargs": {"beta": 0.2, "label_smoothing": 0.1}},
                    {"name": "chosen_nll", "weight": 0.1, "kwargs": {}},
                ]
            },
        },
    ),
    "simpo": (
        f"swift rlhf --rlhf_type simpo {PAIRS} --simpo_gamma 0.5 --cpo_alpha 0",
        {"train.stage": "simpo", "train.loss_kwargs": {"beta": 2.0, "gamma": 0.5}},
    ),
    "orpo": (f"swift rlhf --rlhf_type orpo {PAIRS}", {"train.stage": "orpo", "train.loss_kwargs": {"beta": 0.1}}),
    "cpo with ipo": (
        f"swift rlhf --rlhf_type cpo {PAIRS} --loss_type ipo --cpo_alpha 0.5",
        {"train.loss_kwargs": {"beta": 0.1, "alpha": 0.5, "preference": "ipo"}},
    ),
    "kto": (
        f"swift rlhf --rlhf_type kto {PAIRS} --desirable_weight 1.5 --undesirable_weight 0.5",
        {
            "train.stage": "kto",
            "train.loss_kwargs": {"beta": 0.1, "desirable_weight": 1.5, "undesirable_weight": 0.5},
        },
    ),
    "rm": (
        f"swift rlhf --rlhf_type rm {PAIRS} --center_rewards_coefficient 0.01",
        {"train.stage": "rm", "train.loss_kwargs": {"center_rewards_coefficient": 0.01}},
    ),
    "grpo with DAPO": (
        f"swift rlhf --rlhf_type grpo {PROMPTS} --loss_type dapo --epsilon 0.2 --epsilon_high 0.28 --beta 0 "
        "--num_generations 8 --max_completion_length 64 --dynamic_sample true --overlong_filter true --temperature 0.9 "
        "--top_k -1 --log_completions true --scale_rewards batch --per_device_train_batch_size 8",
        {
            "train.loss_type": "dapo",
            "train.loss_kwargs": {"epsilon_low": 0.2, "epsilon_high": 0.28, "beta": 0.0},
            "rollout.max_resample_times": 3,
            "rollout.mask_truncated": True,
            "rollout.top_k": 0,
            "rollout.advantages": "batch",
            "reward.orms": [{"name": "math", "weight": 1.0}, {"name": "format", "weight": 0.5}],
        },
    ),
    "grpo with GSPO and rewards with arguments": (
        f"swift rlhf --rlhf_type grpo {MODEL} --dataset demo:prompts --importance_sampling_level sequence "
        "--reward_funcs accuracy cosine repetition soft_overlong --cosine_max_len 64 --repetition_n_grams 4 "
        "--soft_max_length 64 --soft_cache_length 16 --epsilon 3e-4 --epsilon_high 4e-4 --beta 0",
        {
            "train.loss_type": "gspo",
            "train.loss_kwargs": {"epsilon_low": 3e-4, "epsilon_high": 4e-4},
            "reward.orms": [
                {"name": "math"},
                {"name": "cosine", "kwargs": {"max_length": 64}},
                {"name": "repetition", "kwargs": {"ngram_size": 4}},
                {"name": "soft_overlong", "kwargs": {"max_length": 64, "cache_length": 16}},
            ],
        },
    ),
    "ppo": (
        f"swift rlhf --rlhf_type ppo {PROMPTS} --kl_coef 0.1 --vf_coef 0.2 --cliprange 0.3 --num_ppo_epochs 2 "
        "--lam 0.9 --response_length 64 --missing_eos_penalty 1.0",
        {
            "rollout.kl_coef": 0.1,
            "rollout.num_iterations": 2,
            "rollout.lam": 0.9,
            "rollout.missing_eos_penalty": 1.0,
            "train.max_completion_length": 64,
            "train.loss_kwargs": {"epsilon": 0.3, "value_weight": 0.2},
        },
    ),
    "gkd": (
        f"swift rlhf --rlhf_type gkd {MODEL} --dataset demo:chat --teacher_model demo:tiny --lmbda 0.3 --beta 0.7 "
        "--seq_kd false",
        {"model.teacher_model_id": "demo:tiny", "rollout.lmbda": 0.3, "train.loss_kwargs": {"beta": 0.7}},
    ),
    "words of the second version": (
        "swift sft --model_id_or_path demo:tiny --sft_type lora --dataset demo:chat --batch_size 2 --dtype bf16 "
        "--lora_dropout_p 0.1 --lora_target_modules ALL --use_flash_attn false",
        {
            "train.per_device_train_batch_size": 2,
            "model.dtype": "bfloat16",
            "model.attn_implementation": "sdpa",
            "train.tuner_kwargs": {
                "lora_rank": 8,
                "lora_alpha": 32,
                "lora_dropout": 0.1,
                "target_modules": "all-linear",
            },
        },
    ),
    "an early stop by a figure, judged whenever it saves": (
        f"swift sft {CHAT} --callbacks early_stop --metric_for_best_model loss --greater_is_better false "
        "--save_steps 20 --enable_dft_loss true --eval_metric nlg",
        {
            "train.loss_type": "dft",
            "train.metrics": ["nlg"],
            "train.eval_strategy": "steps",
            "train.eval_steps": 20,
            "train.callbacks": [{"name": "early_stopping", "kwargs": {"metric": "loss", "greater_is_better": False}}],
        },
    ),
    "a mixture without the term that weighs nothing": (
        f"swift rlhf --rlhf_type dpo {PAIRS} --loss_type sigmoid --rpo_alpha 0.0",
        {"train.loss_type": "dpo"},
    ),
    "seq_cls": (
        f"swift sft {MODEL} --task_type seq_cls --num_labels 3 --dataset demo:classes",
        {"train.stage": "seq_cls"},
    ),
    "trl dpo": (
        "trl dpo --model_name_or_path demo:tiny --dataset_name demo:preference --use_peft --lora_r 4 --lora_alpha 8 "
        "--beta 0.3 --learning_rate 5e-6 --per_device_train_batch_size 2 --max_length 512",
        {
            "train.tuner_kwargs": {"lora_rank": 4, "lora_alpha": 8, "target_modules": "all-linear"},
            "train.loss_kwargs": {"beta": 0.3},
        },
    ),
    "trl sft of all weights": (
        "trl sft --model_name_or_path demo:tiny --dataset_name demo:chat",
        {"train.stage": "sft", "train.tuner_strategy": "full"},
    ),
}


@pytest.mark.parametrize(("words", "wanted"), SETS.values(), ids=SETS.keys())
def test_arguments_become_a_run_file_that_can_be_planned(words, wanted, tmp_path):
    said, arguments = of_words(shlex.split(words))
    migrated = migrate(arguments, said)
    assert not migrated.lost, [str(one) for one in migrated.lost]
    assert {key: migrated.run.get(key) for key in wanted} == wanted
    path = tmp_path / "run.yaml"
    path.write_text(written(migrated), encoding="utf-8")
    plan = resolve(load(path), installed(), planning=True)
    assert plan.settings.model.model_id == "demo:tiny"


LLAMA_FACTORY = """\
model_name_or_path: demo:tiny
stage: dpo
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
pref_beta: 0.1
pref_loss: sigmoid
dataset: demo:preference
template: llama3
cutoff_len: 1024
overwrite_cache: true
output_dir: saves
logging_steps: 10
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 5.0e-6
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
"""


def test_a_file_of_llama_factory_is_read_in_its_own_words(tmp_path):
    path = tmp_path / "args.yaml"
    path.write_text(LLAMA_FACTORY)
    migrated = migrate(of_file(path))
    assert migrated.program == "llama-factory"
    assert not migrated.lost
    wanted = {
        "train.stage": "dpo",
        "train.tuner_kwargs": {"lora_rank": 8, "target_modules": "all-linear"},
        "train.loss_kwargs": {"beta": 0.1},
        "data.max_length": 1024,
        "model.dtype": "bfloat16",
        "train.learning_rate": 5e-6,
    }
    assert {key: migrated.run.get(key) for key in wanted} == wanted


MS_SWIFT_FILE = """\
# how we train
model: demo:tiny
dataset:
  - demo:chat#100
external_plugins: [plugin.py]
loss_type: mine
neftune_noise_alpha: 5
freeze_vit: true
lerning_rate: 1e-4
resume_from_checkpoint: null
"""


def test_what_is_lost_is_named_with_its_line_and_reason(tmp_path):
    (tmp_path / "args.yaml").write_text(MS_SWIFT_FILE)
    out = tmp_path / "run.yaml"
    result = CliRunner().invoke(command, [str(tmp_path / "args.yaml"), "-o", str(out)])
    assert result.exit_code == 1
    place = tmp_path / "args.yaml"
    assert f"not carried over: {place}:7: --neftune_noise_alpha 5: NEFTune is not here" in result.output
    assert f"not carried over: {place}:9: --lerning_rate 0.0001: nothing here has this name" in result.output
    assert f"not carried over: {place}:8: --freeze_vit true: write train.tuner_kwargs: {{freeze: [" in result.output
    assert "resume_from_checkpoint" not in result.output
    run = YAML(typ="safe").load(out.read_text())
    assert run["plugins"] == {"ms_swift_files": ["plugin.py"]}
    assert run["train"]["loss_type"] == "mine"
    assert out.read_text().startswith("# Made by swift migrate")


def test_nothing_lost_exits_with_zero_and_prints_the_file(tmp_path):
    result = CliRunner().invoke(command, ["--", "--model", "demo:tiny", "--dataset", "demo:chat"])
    assert result.exit_code == 0
    assert YAML(typ="safe").load(result.stdout)["model"] == {"model_id": "demo:tiny"}


def test_the_arguments_that_a_run_of_ms_swift_kept_as_json_are_read(tmp_path):
    path = tmp_path / "args.json"
    path.write_text(
        '{"model": "demo:tiny", "dataset": ["demo:chat"], "rlhf_type": null, "galore_rank": 128,\n "x": []}'
    )
    migrated = migrate(of_file(path))
    assert migrated.run["data.dataset"] == "demo:chat"
    assert not migrated.lost


@pytest.mark.parametrize("words", ["--model m --dataset d --task_type embedding", "--model m --rlhf_type nope"])
def test_a_stage_that_is_not_here_is_an_error(words):
    with pytest.raises(SwiftError, match="no-such-stage"):
        migrate(of_words(words.split())[1])


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    out = tmp_path / "run.yaml"
    out.write_text("mine")
    result = CliRunner().invoke(command, ["-o", str(out), "--", "--model", "demo:tiny", "--dataset", "demo:chat"])
    assert isinstance(result.exception, SwiftError)
    assert out.read_text() == "mine"


def test_every_key_that_arguments_become_is_one_of_the_run_file():
    from swift_core.config.suggest import sections

    known = {f"{section}.{key}" if section else key for section, keys in sections().items() for key in keys}
    assert set(KEYS.values()) <= known


def test_each_argument_has_one_fate():
    tables = [set(KEYS), set(LOST), set(WITHOUT_EFFECT)]
    assert sum(map(len, tables)) == len(set.union(*tables))
