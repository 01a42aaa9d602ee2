from __future__ import annotations

import os
import subprocess
import sys

import pytest

from swift_core.plugins.discover import is_plugin_name, normalised, scan
from swift_core.testing.fake_dist import fake_dist


def names(found):
    return [(spec.kind, spec.name, spec.distribution, spec.version) for spec in found.specs]


def test_finds_the_plugins_of_every_kind_in_one_scan(tmp_path):
    groups = {"swift.losses": {"focal": "acme:Focal"}, "swift.orms": {"brevity": "acme.rewards:brevity"}}
    fake_dist(tmp_path, "acme-losses", "1.2", groups)
    found = scan([str(tmp_path)])
    assert names(found) == [("loss", "focal", "acme-losses", "1.2"), ("orm", "brevity", "acme-losses", "1.2")]
    assert [spec.target for spec in found.specs] == ["acme:Focal", "acme.rewards:brevity"]
    assert found.findings == ()


def test_agrees_with_importlib_metadata_about_what_is_installed_here():
    from importlib.metadata import distributions

    theirs = {}
    for distribution in distributions():
        theirs.setdefault(normalised(distribution.metadata["Name"]), distribution.version)
    ours = {distribution.name: distribution.version for distribution in scan().distributions.values()}
    assert ours == theirs


def test_agrees_with_importlib_metadata_about_our_own_entry_points():
    from importlib.metadata import entry_points

    from swift_core.plugins.kinds import GROUPS

    theirs = {(e.group, e.name, e.value) for group in GROUPS for e in entry_points(group=group)}
    groups = {kind.name: group for group, kind in GROUPS.items()}
    assert {(groups[s.kind], s.name, s.target) for s in scan().specs} == theirs


def test_the_first_distribution_on_the_path_wins_and_the_second_is_reported(tmp_path):
    for folder, version in (("first", "1.0"), ("second", "2.0")):
        fake_dist(tmp_path / folder, "acme-losses", version, {"swift.losses": {"focal": f"{folder}:Focal"}})
    found = scan([str(tmp_path / "first"), str(tmp_path / "second")])
    assert names(found) == [("loss", "focal", "acme-losses", "1.0")]
    (finding,) = found.findings
    assert finding.code == "duplicate-distribution"
    assert finding.message.startswith("1.0 in ")
    assert " hides 2.0 in " in finding.message


def test_a_folder_that_is_twice_on_the_path_is_no_duplicate(tmp_path):
    fake_dist(tmp_path, "acme-losses", "1.0", {})
    assert scan([str(tmp_path), f"{tmp_path}{os.sep}"]).findings == ()


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("Focal = acme:Focal", "invalid-name"),
        ("fo-cal = acme:Focal", "invalid-name"),
        ("_focal = acme:Focal", "invalid-name"),
        ("2focal = acme:Focal", "invalid-name"),
        ("focal = acme", "invalid-target"),
        ("focal = acme:", "invalid-target"),
        ("focal = acme/loss.py:Focal", "invalid-target"),
        ("focal = a:F\nfocal = b:F", "repeated-name"),
    ],
)
def test_an_odd_entry_is_reported_and_not_used(tmp_path, entry, code):
    folder = fake_dist(tmp_path, "acme", "1.0", {})
    (folder / "entry_points.txt").write_text(f"[swift.losses]\n{entry}\n", encoding="utf-8")
    found = scan([str(tmp_path)])
    assert [finding.code for finding in found.findings] == [code]
    assert len(found.specs) == (1 if code == "repeated-name" else 0)


def test_a_group_in_singular_is_reported(tmp_path):
    fake_dist(tmp_path, "acme", "1.0", {"swift.loss": {"focal": "acme:Focal"}})
    assert [finding.code for finding in scan([str(tmp_path)]).findings] == ["unknown-group"]


def test_groups_of_other_projects_called_swift_are_left_alone(tmp_path):
    fake_dist(tmp_path, "swift", "2.35", {"swift.diskfile": {"replication.fs": "swift.obj.diskfile:DiskFileManager"}})
    found = scan([str(tmp_path)])
    assert (found.specs, found.findings) == ((), ())


def test_extras_comments_and_spaces_are_read_as_the_format_has_them(tmp_path):
    folder = fake_dist(tmp_path, "acme", "1.0", {})
    text = "# c\n[other]\nx = y\n\n[ swift.losses ]\n ; c\n focal  =  acme.loss : Focal [extra, more]\nbroken line\n"
    (folder / "entry_points.txt").write_text(text, encoding="utf-8")
    assert [spec.target for spec in scan([str(tmp_path)]).specs] == ["acme.loss:Focal"]


def test_undecodable_entry_points_are_reported(tmp_path):
    folder = fake_dist(tmp_path, "acme", "1.0", {})
    (folder / "entry_points.txt").write_bytes(b"[swift.losses]\nfocal = \xff\xfe:F\n")
    assert [finding.code for finding in scan([str(tmp_path)]).findings] == ["unreadable-entry-points"]


def test_an_egg_info_without_version_reads_it_from_its_metadata(tmp_path):
    folder = tmp_path / "acme.egg-info"
    folder.mkdir()
    (folder / "PKG-INFO").write_text(
        "Metadata-Version: 2.1\nName: acme\nVersion: 3.1\n\nVersion: 9\n", encoding="utf-8"
    )
    assert scan([str(tmp_path)]).distributions["acme"].version == "3.1"


def test_an_egg_info_of_one_python_loses_its_tag(tmp_path):
    (tmp_path / "acme-3.1-py3.11.egg-info").mkdir()
    assert scan([str(tmp_path)]).distributions["acme"].version == "3.1"


@pytest.mark.parametrize(
    ("direct_url", "origin"),
    [
        ('{"url": "file:///x", "dir_info": {"editable": true}}', "editable"),
        ('{"url": "file:///x", "dir_info": {}}', "wheel"),
        ("not json", "wheel"),
    ],
)
def test_tells_an_editable_install_by_its_direct_url(tmp_path, direct_url, origin):
    folder = fake_dist(tmp_path, "acme", "1.0", {"swift.losses": {"focal": "acme:Focal"}})
    (folder / "direct_url.json").write_text(direct_url, encoding="utf-8")
    assert [spec.origin for spec in scan([str(tmp_path)]).specs] == [origin]


def test_missing_folders_and_files_on_the_path_are_passed_over(tmp_path):
    (tmp_path / "lib.zip").write_bytes(b"PK")
    assert scan([str(tmp_path / "none"), str(tmp_path / "lib.zip")]).distributions == {}


@pytest.mark.parametrize("name", ["Swift-Loss_Zoo", "swift.loss.zoo", "swift--loss__zoo"])
def test_spellings_of_one_distribution_are_equal(name):
    assert normalised(name) == "swift-loss-zoo"


@pytest.mark.parametrize(("name", "good"), [("dpo", True), ("a1_b", True), ("", False), ("ä", False), ("DPO", False)])
def test_plugin_names_are_plain_lower_case_words(name, good):
    assert is_plugin_name(name) is good


def test_a_scan_imports_nothing_that_is_slow():
    code = "import sys; from swift_core.plugins.registry import installed; installed().specs(); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert loaded.isdisjoint({"torch", "transformers", "peft", "datasets", "numpy", "pydantic", "packaging"})
    assert "importlib.metadata" not in result.stdout.split()
