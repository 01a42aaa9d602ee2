"""What procedures of other wheels build on."""

import swift_core.procedures

PUBLIC = [
    "Batch",
    "IGNORED",
    "Preference",
    "ScoredTokens",
    "Supervised",
    "SwiftTrainer",
    "pair_outputs",
    "token_outputs",
]


def test_the_public_names_are_these_and_they_are_there():
    assert sorted(swift_core.procedures.__all__) == PUBLIC
    assert all(hasattr(swift_core.procedures, name) for name in PUBLIC)
    assert all(
        name in swift_core.procedures.__doc__ for name in ("SwiftTrainer", "Supervised", "Preference", "ScoredTokens")
    )
