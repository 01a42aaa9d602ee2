"""What data is: a record as a format reads it, and a row as a model eats it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypedDict

from typing_extensions import NotRequired

from swift_core.contracts.images import ImageRef
from swift_core.contracts.sounds import SoundRef


class Message(TypedDict):
    """One turn of a conversation, in OpenAI's form."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    loss: NotRequired[bool]
    """Train on this turn; left out, assistant turns are trained."""

    weight: NotRequired[float]
    """What the turn's tokens count in the loss, >= 0; left out, 1."""

    read: NotRequired[list[tuple[int, int]]]
    """Characters [start, end) of the content that are never trained: what tools said inside an answer."""

    of_tools: NotRequired[bool]
    """The turn offers tools, or is what they answered, whatever its role."""

    images: NotRequired[list[ImageRef | None]]
    """Of a turn as a format reads it: one for each mark `<image>` in the content, None for the row's next one.

    Core puts them into the record's `images` and takes them off the turn.
    """

    goes_on: NotRequired[bool]
    """A prompt's last turn, of the assistant: the answer goes on in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of data in common form. Which fields are set says what it is good for.

    Text to continue is either messages (a chat template applies) or plain strings (none does).
    """

    where: str
    """`file.jsonl:17`, for messages about this row."""

    text: str | None = None
    """Plain text to learn whole (stage `pt`, or `sft` on text)."""

    prompt: str | Sequence[Message] | None = None
    completion: str | Sequence[Message] | None = None
    """What the model should answer. Of a conversation, the turns from the first trained one on."""

    chosen: str | Sequence[Message] | None = None
    rejected: str | Sequence[Message] | None = None
    label: bool | None = None
    """Whether the completion is wanted (unpaired preference)."""

    reference: str | Sequence[Message] | None = None
    """A third answer beside chosen and rejected, the best known (`tpo` learns it)."""

    margin: float | None = None
    steps: Sequence[str] = ()
    """Steps of a solution, after a prompt."""

    step_labels: Sequence[float | None] | None = None
    """How right each step is, in [0, 1]; None for a step that nobody judged."""

    tools: Sequence[Mapping[str, Any]] = ()
    images: tuple[ImageRef, ...] = ()
    """Of the row; the prompt and the completion hold the mark `<image>` once for each, in this order.

    Of compared answers, the prompt has all marks. A format gives images as the row names them; core finds the files.
    """

    videos: tuple[str, ...] = ()
    """As the row names them; the mark is `<video>`."""

    audios: tuple[SoundRef, ...] = ()
    """Of the row; the mark is `<audio>`, once for each of them in the prompt and the completion."""

    objects: Mapping[str, Any] | None = None
    """Things and boxes that core writes for the marks `<ref-object>` and `<bbox>`; None once they are written."""

    ground_truth: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    """All columns of the row as read: rewards get them by name."""

    @property
    def media(self) -> tuple[ImageRef, ...] | tuple[SoundRef, ...]:
        """What the row's marks stand for: images, or sounds."""
        return self.images or self.audios


class DatasetFormat(Protocol):
    """A `swift.datasets` plugin: what rows look like and how they become records. Built from its options.

    It must not import torch, transformers or datasets when it is loaded: `swift plan` uses it.
    """

    columns: ClassVar[tuple[str, ...]]
    """Column names that a row of this format has; the names left of the colon in `data.columns`.

    A column without a value is left out of a row, except those that a format names in a class attribute `nullable`.
    """

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row`, with its columns renamed, is of this format."""

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return `row` as a record; raise ValueError with what is wrong in it."""


OWN_KEYS = ("loss", "weight", "read", "of_tools", "goes_on")
"""Keys of a turn that say how it is trained; chat templates do not see them."""


class TokenRow(TypedDict):
    """A row of the stages pt and sft."""

    input_ids: list[int]
    labels: list[int]
    """The token itself where it is trained, -100 elsewhere; not shifted."""

    loss_scale: NotRequired[list[float]]
    """Weight of each token, > 0 where it is trained; left out, every trained one counts 1."""

    row: int
    """Index in the encoded data set; seeds what is random about the row."""


class PairRow(TypedDict):
    """A row of a preference stage."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    """Completion tokens, the end of turn included."""

    rejected_ids: list[int]
    margin: float
    gold_ids: NotRequired[list[int]]
    """Tokens of the third answer, of data with a `reference` column."""

    chosen_trained: NotRequired[list[bool]]
    """Which tokens of the answer are trained, where loss scales keep some out; left out, all are."""

    rejected_trained: NotRequired[list[bool]]
    gold_trained: NotRequired[list[bool]]
    row: int


class UnpairedRow(TypedDict):
    """A row of a stage on labelled completions."""

    prompt_ids: list[int]
    completion_ids: list[int]
    """Completion tokens, the end of turn included."""

    completion_trained: NotRequired[list[bool]]
    """Which tokens of the answer are trained, where loss scales keep some out; left out, all are."""

    desirable: bool
    row: int
    kl_ids: NotRequired[list[int]]
    """Completion tokens of a row with another prompt; not there when no row has one."""

    kl_trained: NotRequired[list[bool]]


class PromptRow(TypedDict):
    """A row of a stage that samples."""

    prompt_ids: list[int]
    prompt: str | list[dict[str, Any]]
    ground_truth: str | None
    columns: dict[str, Any]
    row: int


class TextEncoder(Protocol):
    """A tokenizer with its chat template, however it was loaded."""

    eos_token_id: int
    pad_token_id: int

    opening_ids: Sequence[int]
    """Tokens that stand before plain text, such as the begin-of-text token; a chat template writes its own."""

    special_tokens: frozenset[str]
    """Texts of all special tokens; a turn that ends in one can be learned to end."""

    def encode(self, text: str) -> list[int]:
        """Return token ids without added special tokens."""

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return what `encode` returns, and for each token the characters [start, end) of `text` it stands for."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, special tokens included."""

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = False,
    ) -> str:
        """Return the conversation as one string; raise ValueError when there is no chat template or it refuses."""

    def generation_marks(
        self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[tuple[int, int]]:
        """Return the characters of `render` that `{% generation %}` blocks of the template wrote; none without them."""
