import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.form.language_consistency import LanguageConsistency

CHINESE, ENGLISH, RUSSIAN = "\u4eca\u5929\u5929\u6c14\u597d", "a fine day", "\u0434\u0435\u043d\u044c"


@pytest.mark.parametrize(
    ("language", "response", "score"),
    [
        ("en", ENGLISH, 1.0),
        ("zh", CHINESE, 1.0),
        ("zh-CN", CHINESE, 1.0),
        ("ru", RUSSIAN, 1.0),
        ("en", CHINESE, 0.0),
        ("zh", ENGLISH, 0.0),
        ("en", f"{ENGLISH} {RUSSIAN}", 0.75),
        ("zh", f"{CHINESE} ok", 5 / 6),
        ("ja", "\u732b\u3067\u3059", 1.0),
        ("ko", "\uace0\uc591\uc774", 1.0),
        ("zh", f"{CHINESE}\n```python\nprint(1)\n```", 1.0),
        ("zh", f"{CHINESE} $x + y$ \\frac", 1.0),
        ("zh", f"<think>{CHINESE}</think>", 1.0),
        ("en", "42", 1.0),
        ("en", " ", 0.0),
    ],
)
def test_the_share_of_words_in_the_script_counts(grade, language, response, score):
    assert grade(LanguageConsistency(language=language), response) == pytest.approx(score)


def test_a_column_overrules_the_option_row_by_row():
    requests = [InferRequest(messages=[], response=CHINESE)] * 2
    assert LanguageConsistency()(requests, language=["zh", "en"]) == [1.0, 0.0]


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match=r"^language must be one of ar, .*, got 'xx'$"):
        LanguageConsistency(language="xx")
    with pytest.raises(ValueError, match=r"^language of row 0 must be one of .*, got None$"):
        LanguageConsistency()([InferRequest(messages=[], response="")], language=[None])
