"""Every name of a loss or a stage that users bring from TRL and ms-swift means something here, or is refused."""

import pytest

from swift_core.config.load import load
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve

PAIRS = [
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "discopop",
    "apo_zero",
    "apo_down",
    "sft",
    "sigmoid_norm",
]
SAMPLED = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]

RESOLVED = {
    "dpo": [*PAIRS, "mpo"],
    "cpo": ["sigmoid", "simpo"],
    "simpo": ["simpo"],
    "orpo": ["sigmoid"],
    "tpo": ["sigmoid", "tpo-l"],
    "kto": ["kto", "apo_zero_unpaired", "bco"],
    "sft": ["nll", "dft", "chunked_nll", "cross_entropy"],
    "grpo": [*SAMPLED, "gspo", "rloo", "reinforce_plus_plus", "reinforce++", "gmpo", "ppo"],
    "gkd": ["gkd", "minillm"],
}
"""Stage -> values of TRL's and ms-swift's loss_type that it knows."""

STAGES = [
    "pt",
    "sft",
    "seq_cls",
    "rm",
    "prm",
    "dpo",
    "orpo",
    "simpo",
    "kto",
    "cpo",
    "tpo",
    "bco",
    "grpo",
    "gkd",
    "ppo",
    "rloo",
    "minillm",
    "alphapo",
    "ld_dpo",
    "discopop",
    "wpo",
    "mixture",
    "mpo",
]

REFUSED_LOSSES = [
    "cosine_similarity",
    "contrastive",
    "online_contrastive",
    "infonce",
    "pointwise_reranker",
    "listwise_reranker",
    "scoring",
    "distill_rps",
    "smooth_brier",
    "ce_rps",
    "real",
    "fipo",
    "loss_scale",
    "rpo",
]

REFUSED_STAGES = [
    "embedding",
    "reranker",
    "generative_reranker",
    "decision",
    "rlhf",
    "rpo",
    "xpo",
    "nash_md",
    "a2po",
    "gold",
]

ABOUT_NAMES = {"unknown-plugin", "stage-mismatch", "given-twice", "not-here", "broken-plugin"}


def problems_of(folder, train):
    """Return the problems of a run file that are about the names of its stage and its loss."""
    path = folder / "run.yaml"
    path.write_text(f"model: {{model_id: demo:tiny}}\ndata: {{dataset: demo:chat}}\ntrain: {{{train}}}\n")
    try:
        resolve(load(path), installed(), planning=True)
    except SwiftError as error:
        return [problem for problem in error.problems if problem.code in ABOUT_NAMES]
    return []


@pytest.mark.parametrize(("stage", "loss"), [(stage, loss) for stage, losses in RESOLVED.items() for loss in losses])
def test_a_loss_of_theirs_is_a_loss_of_ours_in_its_stage(tmp_path, stage, loss):
    assert problems_of(tmp_path, f"stage: {stage}, loss_type: {loss}") == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_of_theirs_is_a_stage_of_ours(tmp_path, stage):
    assert problems_of(tmp_path, f"stage: {stage}") == []


@pytest.mark.parametrize("loss", REFUSED_LOSSES)
def test_a_loss_that_is_not_here_is_refused_with_the_reason(tmp_path, loss):
    (problem,) = problems_of(tmp_path, f"stage: sft, loss_type: {loss}")
    assert (problem.code, problem.place.line) == ("not-here", 3)
    assert problem.message.startswith(f"{loss!r} is not here: ")


@pytest.mark.parametrize("stage", REFUSED_STAGES)
def test_a_stage_that_is_not_here_is_refused_with_the_reason(tmp_path, stage):
    (problem,) = problems_of(tmp_path, f"stage: {stage}")
    assert problem.code == "not-here"


@pytest.mark.parametrize("stage", ["cpo", "tpo"])
@pytest.mark.parametrize("loss", ["hinge", "ipo"])
def test_a_preference_of_cpo_and_tpo_is_an_option_here(tmp_path, stage, loss):
    (problem,) = problems_of(tmp_path, f"stage: {stage}, loss_type: {loss}")
    assert problem.next_step == f"write train.loss_kwargs: {{preference: {loss}}}"


@pytest.mark.parametrize(("stage", "loss", "name"), [("cpo", "simpo", "simpo"), ("tpo", "tpo-l", "tpo_l")])
def test_what_a_name_means_in_its_stage_is_noted(tmp_path, stage, loss, name):
    path = tmp_path / "run.yaml"
    train = f"{{stage: {stage}, loss_type: {loss}}}"
    path.write_text(f"model: {{model_id: demo:tiny}}\ndata: {{dataset: demo:preference}}\ntrain: {train}\n")
    plan = resolve(load(path), installed(), planning=True)
    assert plan.loss.plugin.name == name
    assert f"train.loss_type: {loss} in stage {stage} means {name}" in plan.notes
