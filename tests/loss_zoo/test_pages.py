"""Every loss has a page that is linked, and a test file of its own."""

from pathlib import Path

import pytest

from swift_core.plugins.registry import installed

ROOT = Path(__file__).parents[2]
LOSSES = [spec for spec in installed().specs("loss") if spec.first_party]


@pytest.mark.parametrize("spec", LOSSES, ids=[spec.name for spec in LOSSES])
def test_every_loss_has_a_page_that_the_list_links(spec):
    page = (ROOT / "docs" / "losses" / f"{spec.name}.md").read_text(encoding="utf-8")
    assert f"```{{plugin}} loss {spec.name}\n```" in page
    assert "\n## When to use it\n" in page
    assert f"(losses/{spec.name}.md)" in (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")


def test_there_is_no_page_without_a_loss():
    assert {path.stem for path in (ROOT / "docs" / "losses").glob("*.md")} == {spec.name for spec in LOSSES}


@pytest.mark.parametrize(
    "module",
    sorted((ROOT / "packages/swift-loss-zoo/src/swift_loss_zoo").glob("*/[!_]*.py")),
    ids=lambda path: path.stem,
)
def test_every_module_of_the_zoo_has_a_test_file_and_an_entry_point(module):
    assert (Path(__file__).parent / module.parent.name / f"test_{module.stem}.py").exists()
    assert f"swift_loss_zoo.{module.parent.name}.{module.stem}" in {spec.target.partition(":")[0] for spec in LOSSES}
