"""A server answers: any with OpenAI's `/completions`, such as `transformers serve`, vLLM, SGLang or LMDeploy.

Prompts are sent as the text that the model would have read, chat template included, so that the server's own template
does not matter. One request is one answer, with a seed of its own. The server's weights stay what they are, for
`swift sample` and rewards, unless it can load others while it runs (`reload`): then stages that train write theirs into
a folder that the server sees too, and tell it, before answers are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from swift_core.builtins.engines._served import origin_of, write_model
from swift_core.contracts.engine import Rollout, SamplingParams
from swift_core.contracts.models import run_folder
from swift_core.contracts.reward import RewardFailure
from swift_core.contracts.withheld import withheld
from swift_core.errors import Problem, SwiftError
from swift_core.remote import RemoteClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from swift_core.contracts.data import TextEncoder


@dataclass(kw_only=True)
class OpenAIEngine:
    """Answers of an OpenAI-compatible server, many requests at a time."""

    url: str
    """Base address of the server, with its version: `http://localhost:8000/v1`."""

    model: str
    """Name of the model on the server."""

    prompts: Literal["text", "ids"] = "text"
    """What is sent: text, which every server takes, or token ids (vLLM, SGLang), which it need not read again."""

    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of each request, such as `{stop_token_ids: [2]}`."""

    api_key_env: str = ""
    """Environment variable with the key that is sent as a bearer token; empty sends none."""

    allow_hosts: Sequence[str] = ()
    """Hosts, addresses and networks that may be asked although they are private, or with plain http."""

    max_concurrency: int = 16
    """Requests under way at a time, >= 1."""

    timeout: float = 600.0
    """Seconds that one answer may take, > 0."""

    max_retries: int = 5
    """Further tries when the server is too busy (HTTP 408, 429, 5xx), >= 0."""

    reload: str = ""
    """Where the server is told to load weights from a folder: `/update_weights_from_disk` of SGLang; empty: nowhere."""

    weights_folder: str = ""
    """Folder for these weights, relative to the run file; the server sees it by the same name, as on a shared disk."""

    takes_weights: ClassVar[str] = "reload"
    serves_all: ClassVar[bool] = True
    _client: RemoteClient = field(init=False, repr=False)
    _encoder: TextEncoder | None = field(default=None, init=False, repr=False)
    _folder: Path | None = field(default=None, init=False, repr=False)
    _target: Path = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options; nothing is sent yet."""
        self._target = (run_folder() / self.weights_folder).absolute()
        if bool(self.reload) is not bool(self.weights_folder):
            raise ValueError("reload and weights_folder go together: what the server is told, and where weights lie")
        if self.reload and not self.reload.startswith("/"):
            raise ValueError(f"reload is a path on the server, such as /update_weights_from_disk, got {self.reload!r}")
        self._client = RemoteClient(
            url=self.url,
            api_key_env=self.api_key_env,
            allow_hosts=self.allow_hosts,
            max_concurrency=self.max_concurrency,
            timeout=self.timeout,
            deadline=float(10**6),  # a batch may take days: each answer has its own limit
            max_retries=self.max_retries,
        )

    def use_encoder(self, encoder: TextEncoder, /) -> None:
        """Take the model's tokenizer: the server is sent text and answers with text."""
        self._encoder = encoder

    def open(self, folder: Path, /) -> None:
        """Take the folder of the model: what stands beside the weights is copied from there."""
        self._folder = folder

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams, /) -> list[list[Rollout]]:
        """Return `params.num_answers` answers per prompt, in the order of the prompts.

        Raises:
            SwiftError: The server does not answer a request.
        """
        count = params.num_answers
        bodies = [
            self._body(prompt, params, params.seed_of(place, number))
            for place, prompt in enumerate(prompts)
            for number in range(count)
        ]
        replies = [self._rollout(reply, params) for reply in self._client.ask("/completions", bodies)]
        return [
            [Rollout(list(prompt), ids, finished) for ids, finished in replies[place * count : (place + 1) * count]]
            for place, prompt in enumerate(prompts)
        ]

    def update_weights(self, weights: Mapping[str, Tensor], version: int, /) -> None:
        """Write the weights into the folder, with the model's other files, and let the server load them.

        Raises:
            SwiftError: The server does not say that it did.
        """
        if not self.reload:
            _fail("it cannot take over weights")
        write_model(self._target, self._folder, weights)
        asked = {"model_path": str(self._target), "weight_version": str(version)}
        (reply,) = replace(self._client, url=origin_of(self.url)).ask(self.reload, [asked])
        if isinstance(reply, RewardFailure):
            _fail(reply.message)
        if not (isinstance(reply, dict) and reply.get("success") is True):
            _fail(f"{self.reload} did not load the weights ({withheld(reply)})")

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _body(self, prompt: Sequence[int], params: SamplingParams, seed: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": list(prompt) if self.prompts == "ids" else self._text(prompt),
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": seed % 2**31,
        }
        body |= {"top_k": params.top_k} if params.top_k else {}  # not every server knows it
        return body | dict(self.extra)

    def _text(self, prompt: Sequence[int]) -> str:
        """Return the prompt as text, without what tokenizers put before every text: the server's does it again."""
        encoder = self._needed_encoder()
        opening = list(encoder.opening_ids)
        begins = bool(opening) and list(prompt[: len(opening)]) == opening
        return encoder.decode(list(prompt[len(opening) :] if begins else prompt))

    def _rollout(self, reply: Any, params: SamplingParams) -> tuple[list[int], bool]:
        """Return the tokens of an answer and whether it ended by itself."""
        if isinstance(reply, RewardFailure):
            _fail(reply.message)
        try:
            text, reason = reply["choices"][0]["text"], reply["choices"][0].get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            _fail(f"{self.url}: not a completion ({withheld(reply)})")
        finished = reason != "length"
        end = list(params.stop_token_ids[:1]) if finished else []
        return [*self._needed_encoder().encode(text), *end], finished

    def _needed_encoder(self) -> TextEncoder:
        if self._encoder is None:
            raise RuntimeError("the engine has no tokenizer: call use_encoder first")
        return self._encoder


def _fail(message: str) -> NoReturn:
    step = "look whether the server runs and has the model; swift sample goes on where it was"
    raise SwiftError(Problem("engine-failed", f"The engine openai: {message}.", None, step))
