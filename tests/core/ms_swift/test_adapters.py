"""What a file registers keeps our contracts."""

import asyncio
import math

import pytest
import torch

from swift_core.contracts.metric import Predictions
from swift_core.contracts.models import building_in
from swift_core.contracts.reward import InferRequest
from swift_core.errors import SwiftError
from swift_core.ms_swift.load import load_plugin
from swift_core.ms_swift.read import read
from swift_core.plugins.building import build

IMPORT = "from swift.plugin import *\nfrom swift.llm import *\n"


@pytest.fixture
def made(tmp_path):
    """Return the plugin that a source registers, built; `arguments` and `settings` are what its `args` has."""

    def made(source, settings=None, **arguments):
        path = tmp_path / "plugin.py"
        path.write_text(IMPORT + source, encoding="utf-8")
        (spec,) = read(path, "plugin.py").specs()
        with building_in(tmp_path, settings or {}):
            return build(load_plugin(spec), {"arguments": arguments} if arguments else {})

    return made


class Outputs:
    """Logits that say each of four tokens is as likely as any other."""

    logits = torch.zeros(1, 4, 4)


LABELS = torch.tensor([[-100, -100, 1, 2]])

DIVIDES = """
import torch.nn.functional as F
def mine(outputs, labels, num_items_in_batch=None, loss_scale=None):
    return F.cross_entropy(outputs.logits[0, 1:3], labels[0, 2:], reduction="sum") / num_items_in_batch
loss_mapping["mine"] = mine
"""
MEAN = DIVIDES.replace('"sum") / num_items_in_batch', '"mean")')
FOURTH = """
class Mine(BaseLoss):
    def __call__(self, outputs, labels, *, num_items_in_batch=None, loss_scale=None, **kwargs):
        return self.args.factor * outputs.logits.new_tensor(float(num_items_in_batch)) + self.trainer.args.seed
loss_map["mine"] = Mine
"""


@pytest.mark.parametrize("source", [DIVIDES, MEAN], ids=["divides by the number of items", "takes a mean"])
def test_a_loss_is_the_mean_of_its_micro_batch_however_it_forms_it(made, source):
    assert float(made(source)(Outputs(), LABELS)) == pytest.approx(math.log(4))


def test_a_loss_class_reads_arguments_and_settings(made):
    assert float(made(FOURTH, settings={"seed": 5}, factor=10)(Outputs(), LABELS)) == 25.0


def test_an_argument_that_nobody_gave_says_how_to_give_it(made):
    with pytest.raises(AttributeError, match=r"args\.factor of ms-swift has no value here; .*arguments: {factor"):
        made(FOURTH)(Outputs(), LABELS)


def asked(prompt, answer):
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return InferRequest(messages=turns, response=answer)


def test_a_reward_gets_columns_and_messages_by_name(made):
    reward = made(
        """
class Mine(ORM):
    def __call__(self, completions, solution, messages, unit=2, **kwargs):
        rows = zip(completions, solution, messages, kwargs["more"])
        return [len(c) + 10 * s + 100 * len(m) + 1000 * o + unit for c, s, m, o in rows]
orms["mine"] = Mine
"""
    )
    assert reward([asked("a", "bbb")], solution=[7], more=[4]) == [4275]


def test_columns_that_a_reward_needs_are_those_of_its_signature(made):
    from swift_core.assemble.rewards import adapt_reward

    source = "class A(ORM):\n    def __call__(self, completions, solution, **kwargs): ...\norms['a'] = A"
    adapted = adapt_reward("a", made(source))
    assert (adapted.required, adapted.takes_all, adapted.asks_truths) == (("solution",), True, False)


def test_a_reward_in_the_form_for_sampling_gets_requests_and_truths(made):
    reward = made(
        """
def mine(infer_requests, ground_truths, **kwargs):
    return [float(request["messages"][-1]["content"] == t) for request, t in zip(infer_requests, ground_truths)]
orms["mine"] = mine
"""
    )
    assert reward([asked("a", "4"), asked("a", "5")], ["4", "4"]) == [1.0, 0.0]


def test_an_asynchronous_reward_is_awaited_by_core(made):
    reward = made(
        """
class Mine(AsyncORM):
    async def __call__(self, completions, **kwargs):
        return [1.0 for _ in completions]
orms["mine"] = Mine
"""
    )
    assert asyncio.run(_awaited(reward([asked("a", "b")]))) == [1.0]


async def _awaited(scores):
    return await scores


@pytest.mark.parametrize("name", ["__call__", "infer"])
def test_a_process_reward_scores_steps_by_its_call_or_by_infer(made, name):
    source = f"""
class Mine(PRM):
    def {name}(self, infer_requests, ground_truths, **kwargs):
        return [[float(len(s)) for s in r.messages[-1]["content"].split()] for r in infer_requests]
prms["mine"] = Mine
"""
    assert made(source)([asked("q", "a bb ccc")]) == [[1.0, 2.0, 3.0]]


def test_an_older_process_reward_says_its_score_as_the_content_of_an_answer(made):
    reward = made(
        """
class Mine(PRM):
    def infer(self, infer_requests, ground_truths, **kwargs):
        message = ChatMessage(role="assistant", content=0.5)
        return [ChatCompletionResponse(None, [ChatCompletionResponseChoice(0, message)]) for _ in infer_requests]
prms["mine"] = Mine
"""
    )
    assert reward([asked("q", "a")]) == [0.5]


METRIC = """
def compute(prediction):
    masks = prediction.label_ids[:, 1:] != -100
    right = prediction.predictions[:, :-1] == prediction.label_ids[:, 1:]
    return {"right": right[masks].mean(), "padded": (prediction.predictions == -100).sum()}
metric_mapping["mine"] = (compute, REDUCE)
"""


def test_a_metric_sees_all_batches_as_one_padded_array(made):
    metric = made(METRIC.replace("REDUCE", "lambda logits, labels: logits.argmax(-1)"))
    labels = [torch.tensor([[-100, 1, 2]]), torch.tensor([[-100, 3]])]
    logits = [
        torch.nn.functional.one_hot(torch.tensor([[1, 0, 0]]), 4),
        torch.nn.functional.one_hot(torch.tensor([[3, 0]]), 4),
    ]
    kept = [metric.preprocess_logits(one.float(), two) for one, two in zip(logits, labels, strict=True)]
    assert metric.compute(Predictions(kept, labels)) == {"right": pytest.approx(2 / 3), "padded": 1.0}


def test_a_metric_that_would_keep_all_logits_is_refused(made):
    with pytest.raises(SwiftError, match="a metric would keep them all"):
        made(METRIC.replace("REDUCE", "None"))


THIRD_SCALE = """
class Mine(LossScale):
    def get_loss_scale(self, context, context_type, is_last_round, *, query=None):
        if context_type == ContextType.RESPONSE:
            return [context[:1], context[1:]], [2.0 if query == "shout" else 0.5, float(is_last_round)]
        return super().get_loss_scale(context, context_type, is_last_round)
loss_scale_map["mine"] = Mine
"""


def test_a_loss_scale_of_the_third_version_sees_every_piece_and_the_question(made):
    scale = made(THIRD_SCALE)
    assert scale.get_loss_scale("shout", "query", False) == (["shout"], [0.0])
    assert scale.get_loss_scale("abc", "response", False) == (["a", "bc"], [2.0, 0.0])


def test_a_loss_scale_of_the_fourth_version_sees_answers_only(made):
    scale = made(
        """
class Mine(LossScale):
    def get_loss_scale(self, context, **kwargs):
        return [context], [3.0]
loss_scale_map["mine"] = Mine
"""
    )
    assert scale.get_loss_scale("q", "query", True) == (["q"], [1.0])
    assert scale.get_loss_scale("a", "response", True) == (["a"], [3.0])


def test_what_is_not_here_fails_where_it_is_used_and_with_that_line(made):
    reward = made(
        """
from swift.llm import PtEngine
class Mine(ORM):
    def __call__(self, completions, **kwargs):
        return PtEngine("model").infer(completions)
orms["mine"] = Mine
"""
    )
    with pytest.raises(SwiftError, match=r"plugin\.py:7:1: error\[ms-swift-absent\]: PtEngine\(\.\.\.\) of ms-swift"):
        reward([asked("a", "b")])


def test_an_installed_package_of_that_name_is_neither_needed_nor_touched(made, tmp_path, monkeypatch):
    import sys

    (tmp_path / "site" / "swift").mkdir(parents=True)
    (tmp_path / "site" / "swift" / "__init__.py").write_text("plugin = 'its own'")
    monkeypatch.syspath_prepend(tmp_path / "site")
    import swift

    reward = made(
        """
class Mine(ORM):
    def __call__(self, completions, **kwargs):
        from swift.utils import get_logger
        return [get_logger().name for _ in completions]
orms["mine"] = Mine
"""
    )
    assert reward([asked("a", "b")]) == ["swift_core.ms_swift"]
    assert sys.modules["swift"] is swift
    assert swift.plugin == "its own"
    assert not [name for name in sys.modules if name.startswith("swift.")]
    monkeypatch.delitem(sys.modules, "swift")


def test_an_agent_template_formats_and_reads_calls(made):
    template = made(
        """
import json
class Mine(BaseAgentTemplate):
    def _format_tools(self, tools, system, user_message=None):
        return system + ",".join(tool["name"] for tool in tools)
    def _format_tool_calls(self, tool_call_messages):
        return "".join(f"<call>{m['content']}</call>" for m in tool_call_messages)
    def _format_tool_responses(self, assistant_content, tool_messages):
        return assistant_content, [m["content"] for m in tool_messages]
    def get_toolcall(self, response):
        texts = response.split("<call>")[1:]
        calls = [json.loads(text.partition("</call>")[0]) for text in texts]
        return [Function(call["name"], json.dumps(call["arguments"])) for call in calls]
agent_templates["mine"] = Mine
"""
    )
    calls = [{"name": "add", "arguments": {"a": 1}}, {"name": "sub", "arguments": {}}]
    assert template.parse_calls(template.format_calls(calls)) == calls
    assert template.format_tools([{"name": "add"}], "Be good. ") == "Be good. add"
    assert template.format_results(["1", "2"]) == "12"
    assert template.results_role == "user"
