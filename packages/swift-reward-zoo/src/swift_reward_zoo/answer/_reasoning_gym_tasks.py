"""Which tasks of reasoning-gym can be trusted with a reward, and what is wrong with the others.

A task is here when, in reasoning-gym 0.1.25 and with entries that went through JSON, its scorer gives its own answers
1.0 and 31 kinds of nonsense and two hedged answers less, raises on none of them, and runs no answer as code. The test
of this list does that again for each of them where the package is installed.
"""

from __future__ import annotations

# fmt: off
SOUND = frozenset((
    "ab", "acre", "advanced_geometry", "aiw", "arc_1d", "base_conversion", "basic_arithmetic", "bf",
    "binary_alternation", "bitwise_arithmetic", "caesar_cipher", "chain_sum", "circuit_logic", "codeio",
    "color_cube_rotation", "count_bits", "count_primes", "course_schedule", "cryptarithm", "decimal_arithmetic",
    "decimal_chain_sum", "dice", "emoji_mystery", "family_relationships", "figlet_font", "futoshiki", "gcd",
    "group_anagrams", "isomorphic_strings", "jugs", "knight_swap", "largest_island", "lcm", "leg_counting",
    "letter_counting", "list_functions", "mahjong_puzzle", "manipulate_matrix", "maze", "mini_sudoku",
    "modulo_grid", "needle_haystack", "number_filtering", "number_format", "number_sequence",
    "palindrome_generation", "palindrome_partitioning", "path_star", "polynomial_equations", "pool_matrix",
    "power_function", "products", "quantum_lock", "ransom_note", "rectangle_count", "rotate_matrix",
    "rotten_oranges", "self_reference", "sentence_reordering", "shortest_path", "simple_equations",
    "simple_geometry", "string_manipulation", "string_splitting", "string_synthesis", "sudoku", "syllogism",
    "tower_of_hanoi", "tsumego", "word_ladder", "word_sequence_reversal", "word_sorting", "zebra_puzzles",
))
# fmt: on

_RUNS = "its scorer runs the answer as Python"
_HEDGED = "its scorer pays for several answers at once, or for an answer within other text"
_NO_ANSWER = "its own answers do not score 1"
_RAISES = "its scorer fails on some answers"

REFUSED = {
    **dict.fromkeys(("binary_matrix", "n_queens", "spiral_matrix", "string_insertion"), _RUNS),
    **dict.fromkeys(("countdown", "puzzle24"), f"{_RUNS}; the reward `countdown` does not"),
    **dict.fromkeys(("intermediate_integration", "polynomial_multiplication", "simple_integration"), _RUNS),
    **dict.fromkeys(("fraction_simplification", "gsm_symbolic"), f"{_HEDGED}; the reward `math` does not"),
    **dict.fromkeys(("kakurasu", "knights_knaves", "letter_jumble", "sokoban", "spell_backward", "survo"), _HEDGED),
    **dict.fromkeys(("time_intervals",), _HEDGED),
    **dict.fromkeys(("arc_agi", "boxnet", "graph_color", "propositional_logic", "rearc"), _NO_ANSWER),
    **dict.fromkeys(("rubiks_cube", "rush_hour"), _NO_ANSWER),
    **dict.fromkeys(("calendar_arithmetic", "game_of_life", "prime_factorization"), _RAISES),
    "coin_flip": "its scorer pays for 0",
    "complex_arithmetic": "its scorer pays for `nan`",
    "game_of_life_halting": "its scorer pays for any text",
    "number_sorting": "its scorer pays for numbers that are 1 off, and may run the expected answer as Python",
    "composite": "a row of it names the task that it is of in `metadata.source_dataset`",
}
"""Why a task is not scored."""
