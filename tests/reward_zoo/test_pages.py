"""Every reward has its page, and every page its reward."""

import re
from pathlib import Path

from swift_core.plugins.registry import installed

DOCS = Path(__file__).parents[2] / "docs"


def names():
    return {spec.name: spec.kind for kind in ("orm", "prm") for spec in ours(kind)}


def ours(kind):
    return [spec for spec in installed().specs(kind) if spec.first_party]


def test_each_reward_has_a_page_and_each_page_is_linked():
    pages = {page.stem for page in (DOCS / "rewards").glob("*.md")}
    linked = set(re.findall(r"^\| \[`(\w+)`\]\(rewards/\1\.md\)", (DOCS / "rewards.md").read_text(), re.MULTILINE))
    assert pages == linked == set(names())


def test_each_page_shows_its_own_reward():
    for name, kind in names().items():
        page = (DOCS / "rewards" / f"{name}.md").read_text()
        assert f"```{{plugin}} {kind} {name}\n" in page
        assert re.search(rf"^    - \{{name: {name}[,}}]", page, re.MULTILINE), name
