"""How the model `demo:tiny` is made: a byte-level BPE and a Llama of 0.1 M parameters, pre-trained in seconds.

What makes so small a model learn in 15 seconds of one core: one document a row, loss on the answer only, a high
learning rate, 32-bit floats and one thread (threads and bfloat16 cost more than they save at this size).
"""

from __future__ import annotations

import hashlib
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.cache import cache_dir, make_once
from swift_core.demo import corpus
from swift_core.quiet import quiet_loading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['role'] == 'assistant' %}"
    "{% generation %}{{- message['content'] + '<|im_end|>' }}{% endgeneration %}{{- '\n' }}"
    "{%- else %}"
    "{{- message['content'] + '<|im_end|>\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""ChatML. What the assistant says, the end of its turn included, stands between the generation marks."""

_VOCABULARY = 400
_NUM_DOCUMENTS = 20_000
_NUM_STEPS = 1000
_BATCH = 20
_PEAK_LEARNING_RATE = 4e-3
_SORTED_BATCHES = 5
_WARMUP_STEPS = 25
_SEED = 1


def tiny_folder() -> Path:
    """Return where this version of the recipe keeps its model; changing the recipe or the corpus changes the name."""
    source = b"".join(Path(file).read_bytes() for file in (__file__, corpus.__file__))
    return cache_dir() / "demo" / f"tiny-{hashlib.sha256(source).hexdigest()[:12]}"


def cached_tiny() -> Path:
    """Return the folder of the pre-trained model, making it first when it is not in the cache (about 15 s of CPU)."""
    return make_once(tiny_folder(), make_tiny)


def make_tiny(folder: Path) -> None:
    """Pre-train the model on the demo corpus and save it with its tokenizer into `folder`, without network."""
    conversations = corpus.documents(_NUM_DOCUMENTS, _SEED)
    tokenizer = make_tokenizer([message["content"] for turns in conversations for message in turns], _VOCABULARY)
    rows = [_encode(tokenizer, turns) for turns in conversations]
    model = _pretrained(tokenizer, rows)
    quiet_loading()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most `vocabulary` tokens on `texts`; it has the ChatML template."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=_byte_level_bpe(texts, vocabulary),
        bos_token=START_OF_TURN,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def _byte_level_bpe(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT, START_OF_TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, "system\nuser\nassistant\n"], trainer)
    return tokenizer


def _encode(tokenizer: PreTrainedTokenizerFast, turns: list[dict[str, str]]) -> tuple[list[int], int]:
    """Return the tokens of a conversation that ends with the answer, and how many of them come before the answer."""
    prompt = "".join(f"{START_OF_TURN}{turn['role']}\n{turn['content']}{END_OF_TURN}\n" for turn in turns[:-1])
    head = tokenizer.backend_tokenizer.encode(f"{prompt}{START_OF_TURN}assistant\n").ids
    answer = tokenizer.backend_tokenizer.encode(turns[-1]["content"] + END_OF_TURN).ids
    return head + answer, len(head)


def _pretrained(tokenizer: PreTrainedTokenizerFast, rows: Sequence[tuple[list[int], int]]) -> LlamaForCausalLM:
    """Train a fresh model on `rows` with one thread; the caller's threads and random state are as before."""
    import torch

    num_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            model = _fresh_model(tokenizer)
            _train(model, rows, int(tokenizer.pad_token_id))
    finally:
        torch.set_num_threads(num_threads)
    model.eval()
    return model


def _fresh_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def _train(model: LlamaForCausalLM, rows: Sequence[tuple[list[int], int]], pad: int) -> None:
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_PEAK_LEARNING_RATE, weight_decay=0.0, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _learning_rate_factor)
    for input_ids, labels in _batches(rows, pad):
        # Only the positions before an answer's tokens are scored; the rest of the head's work would be thrown away.
        hidden = model.model(input_ids)[0][:, :-1]
        targets = labels[:, 1:]
        scored = targets >= 0
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[scored]), targets[scored])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def _learning_rate_factor(step: int) -> float:
    if step < _WARMUP_STEPS:
        return (step + 1) / _WARMUP_STEPS
    return 0.5 * (1 + math.cos(math.pi * (step - _WARMUP_STEPS) / (_NUM_STEPS - _WARMUP_STEPS)))


def _batches(rows: Sequence[tuple[list[int], int]], pad: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield one right-padded batch a step: tokens, and labels that are -100 outside the answers."""
    import torch

    for batch in _alike(rows):
        longest = max(len(ids) for ids, _ in batch)
        input_ids = torch.full((_BATCH, longest), pad)
        labels = torch.full((_BATCH, longest), -100)
        for row, (ids, num_before) in enumerate(batch):
            input_ids[row, : len(ids)] = torch.tensor(ids)
            labels[row, num_before : len(ids)] = torch.tensor(ids[num_before:])
        yield input_ids, labels


def _alike(rows: Sequence[tuple[list[int], int]]) -> Iterator[Sequence[tuple[list[int], int]]]:
    """Yield `_NUM_STEPS` batches of rows of like length, which need less padding."""
    draw = random.Random(_SEED)
    window = _BATCH * _SORTED_BATCHES
    for start in range(0, _NUM_STEPS * _BATCH, window):
        drawn = sorted((rows[index % len(rows)] for index in range(start, start + window)), key=lambda row: len(row[0]))
        batches = [drawn[first : first + _BATCH] for first in range(0, window, _BATCH)]
        draw.shuffle(batches)
        yield from batches
