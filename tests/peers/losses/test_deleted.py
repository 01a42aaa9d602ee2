"""Losses that TRL has deleted against its old versions, and PPO and DPO against torchtune: values and gradients.

The old packages do not run beside today's transformers: single functions are read from their wheels' source.
"""

import ast
import os
import types
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from swift_core.testing.outputs import given_distill, given_tokens
from swift_loss_zoo.advantages import generalised
from swift_loss_zoo.distill.gkd import GKD
from swift_loss_zoo.distill.minillm import MiniLLM
from swift_loss_zoo.pair.dpo import DPO
from swift_loss_zoo.pair.hinge import Hinge
from swift_loss_zoo.policy.ppo import PPO
from swift_loss_zoo.token.dft import DFT

PEERS = Path(os.environ["SWIFT_PEERS"])
"""Folder with the unpacked wheels: trl-0.24.0, trl-0.28.0 and torchtune-0.6.1."""


def taken(file, name, **scope):
    """Return one function or class of a peer's file, run in `scope`."""
    tree = ast.parse((PEERS / file).read_text(encoding="utf-8"))
    found = next(node for node in ast.walk(tree) if getattr(node, "name", None) == name)
    found.decorator_list = []
    for node in ast.walk(found):  # annotations name what is not here
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    scope |= {"torch": torch, "F": F, "nn": torch.nn}
    exec(compile(ast.Module([found], []), file, "exec"), scope)
    return scope[name]


def pair_sums(batch):
    own, reference = (batch.token_logps(logits).sum(-1) for logits in (batch.logits, batch.reference))
    return own[0], own[1], reference[0], reference[1]


def old_dpo(batch, *, reference_free=False, label_smoothing=0.0, beta=0.1):
    """Return the DPO loss of TRL 0.24, which had conservative and reference-free DPO."""
    function = taken("trl-0.24.0/trl/trainer/dpo_trainer.py", "dpo_loss", FDivergenceType=types.SimpleNamespace(
        ALPHA_DIVERGENCE=types.SimpleNamespace(value="alpha"), JS_DIVERGENCE=types.SimpleNamespace(value="js")
    ), cap_exp=torch.exp)  # fmt: skip
    trainer = types.SimpleNamespace(
        accelerator=types.SimpleNamespace(device=torch.device("cpu")),
        f_divergence_type="reverse_kl",
        f_divergence_params=None,
        reference_free=reference_free,
        beta=beta,
        label_smoothing=label_smoothing,
    )
    return function(trainer, *pair_sums(batch), "sigmoid")[0].mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_conservative_dpo(pairs, same, smoothing):
    ours = pairs.ours(DPO(label_smoothing=smoothing, beta=0.3))
    same(ours, old_dpo(pairs, label_smoothing=smoothing, beta=0.3), [pairs.logits])


def test_reference_free_dpo(pairs, same):
    same(pairs.ours(DPO(reference_free=True)), old_dpo(pairs, reference_free=True), [pairs.logits])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_torchtunes_dpo_and_rso(pairs, same, smoothing):
    file = "torchtune-0.6.1/torchtune/rlhf/loss/dpo.py"
    theirs = taken(file, "DPOLoss")(beta=0.2, label_smoothing=smoothing)(*pair_sums(pairs))[0].mean()
    same(pairs.ours(DPO(beta=0.2, label_smoothing=smoothing)), theirs, [pairs.logits])
    theirs = taken(file, "RSOLoss")(gamma=0.2)(*pair_sums(pairs))[0].mean()
    same(pairs.ours(Hinge(beta=0.2)), theirs, [pairs.logits])


@pytest.mark.parametrize("epsilon", [0.1, 0.3])
def test_ppo(samples, same, epsilon):
    masked_mean = taken("torchtune-0.6.1/torchtune/rlhf/rewards.py", "masked_mean")
    file, rlhf = "torchtune-0.6.1/torchtune/rlhf/loss/ppo.py", types.SimpleNamespace(masked_mean=masked_mean)
    loss = taken(file, "PPOLoss", rlhf=rlhf)(epsilon=epsilon, value_clip_range=0.1, value_coeff=0.5)
    advantages = samples.advantages[:, None].expand_as(samples.logps)
    theirs = loss(
        samples.old_logps, samples.logps, advantages, samples.old_values, samples.values, samples.returns,
        padding_masks=samples.mask, value_padding_masks=samples.mask,
    )[0]  # fmt: skip
    ours = samples.ours(PPO(epsilon=epsilon, epsilon_value=0.1, value_weight=0.5))
    same(ours, theirs, [samples.logps, samples.values])


def test_generalised_advantages():
    generator = torch.Generator().manual_seed(0)
    values, rewards = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64)
    estimate = taken(
        "torchtune-0.6.1/torchtune/rlhf/rewards.py",
        "estimate_advantages",
        whiten=lambda x, mask=None: x,
        masked_mean=None,
    )
    theirs, returns = estimate(values, rewards, 0.9, 0.8)
    mask = torch.ones(3, 6, dtype=torch.bool)
    ours = generalised(rewards, values, mask, gamma=0.9, lam=0.8)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(ours + values, returns)


def teacher_and_student(seed, count=7, vocabulary=13):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, count, vocabulary, generator=generator, dtype=torch.float64)
    return student.requires_grad_(), teacher, torch.randint(vocabulary, (count,), generator=generator)


@pytest.mark.parametrize("seed", range(3))
def test_minillm(same, seed):
    """TRL's advantage of a token includes its own gain; the paper's, and ours, what comes after it."""
    file = "trl-0.28.0/trl/experimental/minillm/minillm_trainer.py"
    student, teacher, labels = teacher_and_student(seed)
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    single = taken(file, "_single_step_decomposition_loss")(None, log_q[None], log_p[None])  # a sum over tokens
    own, others = (x.gather(-1, labels[:, None]).squeeze(-1) for x in (log_q.detach(), log_p))
    trainer = types.SimpleNamespace(gamma=1.0, length_normalization=False)
    gains = taken(file, "_compute_advantage")(trainer, own[None], others[None])[0]
    later = gains - (others - own)
    theirs = single - (later * log_q.gather(-1, labels[:, None]).squeeze(-1)).sum()
    given = given_distill(
        student_token_logits=student,
        teacher_token_logits=teacher,
        labels=labels,
        rows=torch.zeros(len(labels), dtype=torch.long),
        weights=torch.ones(len(labels)),
    )
    same(MiniLLM(length_normalise=False)(given).losses.sum(), theirs, [student])


@pytest.mark.parametrize(("name", "beta"), [("ForwardKLLoss", 0.0), ("ReverseKLLoss", 1.0)])
def test_torchtunes_divergences(same, name, beta):
    """Its forward divergence leaves out the teacher's entropy, which has no gradient; its sums are in float32."""
    student, teacher, labels = teacher_and_student(3)
    theirs = taken("torchtune-0.6.1/torchtune/modules/loss/kd_losses.py", name)()(student, teacher, labels)
    entropy = -(teacher.softmax(-1) * teacher.log_softmax(-1)).sum(-1).mean()
    given = given_distill(
        student_token_logits=student,
        teacher_token_logits=teacher,
        labels=labels,
        weights=torch.ones(len(labels)),
    )
    ours = GKD(beta=beta)(given).losses.mean()
    same(ours, theirs - entropy if beta == 0 else theirs, [student], 1e-6)


def test_dft(same):
    select = lambda logits, labels: logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]  # noqa: E731
    dft_loss = taken("trl-0.28.0/trl/trainer/sft_trainer.py", "dft_loss", selective_log_softmax=select)
    logits, _, labels = teacher_and_student(4)
    shifted = torch.nn.functional.pad(labels, (1, 0), value=-100)[None, :-1]
    theirs = dft_loss(types.SimpleNamespace(logits=logits[None]), shifted)  # the first token has no prediction
    ours = DFT()(given_tokens(logps=select(logits, labels)[:-1], weights=torch.ones(len(labels) - 1))).losses.mean()
    same(ours, theirs, [logits])
