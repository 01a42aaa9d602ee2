"""Rewards written for ms-swift 3 and used here as they are."""

import re
from typing import List

from swift.llm import InferRequest
from swift.plugin import ORM, PRM, orms, prms


class EndsWithSolution(ORM):
    def __call__(self, completions, solution, **kwargs) -> List[float]:
        numbers = [re.findall(r"-?\d+", completion)[-1:] for completion in completions]
        return [float(found == [str(truth)]) for found, truth in zip(numbers, solution)]


orms["ends_with_solution"] = EndsWithSolution


class ShortSteps(PRM):
    def __call__(self, infer_requests: List[InferRequest], ground_truths: List[str], **kwargs) -> List[List[float]]:
        answers = [request.messages[-1]["content"] for request in infer_requests]
        return [[1.0 / (1 + len(step)) for step in answer.split("\n")] for answer in answers]


prms["short_steps"] = ShortSteps
