"""Random pairs, sampled answers and teachers, and TRL's trainers with everything but their loss taken away."""

import contextlib
import types

import pytest
import torch

from swift_core.testing.outputs import given_pairs, given_policy

VOCABULARY = 11


class Accelerator:
    """What the losses of TRL ask of accelerate, on one process."""

    device = torch.device("cpu")
    num_processes = 1
    sync_gradients = True

    def gather(self, value):
        return value

    gather_for_metrics = gather

    def reduce(self, value, reduction="sum"):
        return value


class Model(torch.nn.Module):
    """A model that is asked for nothing but what it is."""

    is_gradient_checkpointing = False


class Metrics(dict):
    def __missing__(self, key):
        self[key] = value = Metrics() if key in ("train", "eval") else []
        return value


def trainer_like(**attributes):
    """Return an object that can stand for `self` in a trainer's loss."""
    common = {
        "accelerator": Accelerator(),
        "model": Model(),
        "args": types.SimpleNamespace(gradient_checkpointing_kwargs=None),
        "aux_loss_enabled": False,
        "_metrics": Metrics(),
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    return types.SimpleNamespace(**common | attributes)


def masked(lengths, width):
    return torch.arange(width) < torch.as_tensor(lengths)[:, None]


class PairBatch:
    """Pairs with a third answer: logits of policy and reference, answers of given lengths after two prompt tokens."""

    prompt = 2

    def __init__(self, seed, lengths, dtype=torch.float64, spread=1.5):
        generator = torch.Generator().manual_seed(seed)
        self.lengths = torch.tensor(lengths).T  # [3, pair]
        self.num_pairs, self.width = self.lengths.shape[1], int(self.lengths.max())
        shape = (3, self.num_pairs, self.width, VOCABULARY)
        self.logits = (spread * torch.randn(shape, generator=generator, dtype=dtype)).requires_grad_()
        self.reference = spread * torch.randn(shape, generator=generator, dtype=dtype)
        self.ids = torch.randint(VOCABULARY, shape[:-1], generator=generator)
        self.mask = torch.arange(self.width) < self.lengths[..., None]

    def token_logps(self, logits):
        return logits.log_softmax(-1).gather(-1, self.ids[..., None])[..., 0] * self.mask

    @property
    def log_sum_p2(self):
        return (2 * self.logits.log_softmax(-1)).logsumexp(-1)

    def ours(self, loss):
        """Return our mean loss over the pairs."""
        values = {"margins": torch.zeros(self.num_pairs)}
        own, reference = self.token_logps(self.logits), self.token_logps(self.reference)
        for side, name in enumerate(("chosen", "rejected", "gold")):
            values |= {
                f"{name}_token_logps": own[side],
                f"{name}_logps": own[side].sum(-1),
                f"{name}_lengths": self.lengths[side],
                f"{name}_log_sum_p2": (self.log_sum_p2.detach() * self.mask)[side],
                f"reference_{name}_token_logps": reference[side],
                f"reference_{name}_logps": reference[side].sum(-1),
            }
        return loss(given_pairs(**values)).losses.mean()

    def dpo_trainer(self, loss_types, **options):
        """Return TRL's loss of `DPOTrainer`."""
        from trl.trainer.dpo_trainer import DPOTrainer

        def model(logits):
            padding = (0, 0, self.prompt - 1, 0)
            logps = torch.cat([*self.token_logps(logits)[:2]])
            flat = torch.nn.functional.pad(logps, padding[2:])
            squares = torch.nn.functional.pad(torch.cat([*self.log_sum_p2.detach()[:2]]), padding[2:])
            top = torch.zeros_like(flat, dtype=torch.bool)
            outputs = {"log_probs": flat, "log_sum_sq_probs": squares, "entropy": flat, "mean_logits": flat}
            outputs = types.SimpleNamespace(**outputs, is_top1=top)
            return lambda **_: outputs

        args = types.SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=options.pop("discopop_tau", 0.05))
        attributes = {
            "ld_alpha": None,
            "precompute_ref_logps": False,
            "f_divergence_type": "reverse_kl",
            "f_alpha_divergence_coef": 0.5,
            "beta": 0.1,
            "label_smoothing": 0.0,
            "use_weighting": False,
            "loss_types": loss_types,
            "loss_weights": [1.0] * len(loss_types),
            "ref_model": model(self.reference),
            "args": args,
        } | options
        rows = 2 * self.num_pairs
        completion = torch.nn.functional.pad(torch.cat([*self.mask[:2]]).long(), (self.prompt, 0))
        ids = torch.zeros(rows, self.prompt + self.width, dtype=torch.long)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": completion}
        policy = model(self.logits)
        return DPOTrainer._compute_loss(trainer_like(**attributes), policy, inputs, False)


class PolicyBatch:
    """Sampled answers of given lengths."""

    max_length = 9

    def __init__(self, seed, lengths, dtype=torch.float64, spread=0.5):
        generator = torch.Generator().manual_seed(seed)
        shape = (len(lengths), self.max_length)
        noise = torch.randn(6, *shape, generator=generator, dtype=dtype)
        self.mask = masked(lengths, self.max_length)
        self.old_logps = -noise[0].abs() - 0.1
        self.logps = (self.old_logps + spread * noise[1]).requires_grad_()
        self.reference_logps = self.old_logps + 0.5 * noise[2]
        self.advantages = noise[3, :, 0]
        self.values = noise[4].clone().requires_grad_()
        self.old_values, self.returns = noise[4] + 0.3 * noise[5], noise[0]

    def ours(self, loss):
        """Return our mean loss over the items of the batch."""
        names = ("logps", "old_logps", "reference_logps", "mask", "values", "old_values", "returns")
        values = {name: getattr(self, name) for name in names}
        advantages = self.advantages[:, None].expand_as(self.logps)
        output = loss(given_policy(self.max_length, advantages=advantages, **values))
        weights = torch.ones_like(output.losses) if output.weights is None else output.weights
        return (output.losses * weights).sum() / weights.sum()

    def grpo_trainer(self, loss_type, trainer=None, **options):
        """Return TRL's loss of `GRPOTrainer`."""
        from trl.trainer.grpo_trainer import GRPOTrainer

        names = ("k_pos", "lambda_pos", "k_neg", "lambda_neg")
        vespo = dict(zip(names, (2.0, 3.0, 3.0, 2.0), strict=True))
        arguments = {
            "delta": options.pop("delta", None),
            "use_bias_correction_kl": options.pop("use_bias_correction_kl", False),
            "sapo_temperature_pos": options.pop("sapo_temperature_pos", 1.0),
            "sapo_temperature_neg": options.pop("sapo_temperature_neg", 1.05),
            "steps_per_generation": 1,
        } | {f"vespo_{name}": options.pop(f"vespo_{name}", value) for name, value in vespo.items()}
        attributes = {
            "loss_type": loss_type,
            "importance_sampling_level": "token",
            "beta": 0.0,
            "epsilon_low": 0.2,
            "epsilon_high": 0.2,
            "top_entropy_quantile": 1.0,
            "off_policy_mask_threshold": None,
            "use_vllm": False,
            "current_gradient_accumulation_steps": 1,
            "max_completion_length": self.max_length,
            "_entropy_bonus_enabled": False,
            "get_gamma_weights": GRPOTrainer.get_gamma_weights,
            "_get_per_token_logps_and_entropies": lambda *_, **__: (self.logps, torch.zeros_like(self.logps), None),
            "args": types.SimpleNamespace(**arguments),
        } | options
        inputs = self.inputs() | {"num_items_in_batch": self.mask.sum()}
        return (trainer or GRPOTrainer)._compute_loss(trainer_like(**attributes), None, inputs)

    def inputs(self):
        ids = torch.zeros_like(self.mask, dtype=torch.long)
        return {
            "prompt_ids": ids[:, :1],
            "prompt_mask": ids[:, :1] + 1,
            "completion_ids": ids,
            "completion_mask": self.mask.long(),
            "advantages": self.advantages,
            "old_per_token_logps": self.old_logps,
            "ref_per_token_logps": self.reference_logps,
        }


def compare(ours, theirs, leaves, tolerance=1e-9):
    """Fail unless two losses of a batch have the same value and gradient."""
    torch.testing.assert_close(ours.detach().double(), theirs.detach().double(), rtol=tolerance, atol=tolerance)
    gradients = [torch.autograd.grad(loss, leaves, retain_graph=True) for loss in (ours, theirs)]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine.double(), other.double(), rtol=tolerance, atol=tolerance)


@pytest.fixture(params=range(5))
def pairs(request):
    """Five batches of pairs, an empty completion and a single pair among them."""
    lengths = [
        [(3, 5, 2), (7, 1, 4), (2, 2, 2)],
        [(4, 4, 4), (1, 9, 3), (6, 3, 1), (5, 5, 5)],
        [(5, 8, 2)],
        [(1, 1, 1), (1, 1, 1)],
        [(9, 2, 6), (8, 3, 5), (7, 4, 4), (6, 5, 3), (5, 6, 2)],
    ]
    return PairBatch(request.param, lengths[request.param])


@pytest.fixture(params=range(5))
def samples(request):
    """Five batches of sampled answers, one answer and an empty one among them."""
    lengths = [[3, 9, 1, 5], [4, 4], [6], [2, 0, 7], [9, 8, 7, 6, 5, 4]]
    return PolicyBatch(request.param, lengths[request.param])


@pytest.fixture
def same():
    """Return `compare`."""
    return compare


@pytest.fixture(autouse=True)
def _quiet():
    with contextlib.suppress(ImportError):
        import transformers

        transformers.logging.set_verbosity_error()


@pytest.fixture(name="trainer_like")
def _trainer_like():
    """Return `trainer_like`."""
    return trainer_like
