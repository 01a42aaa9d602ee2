"""A distribution that is installed as far as Python can tell, without building a wheel: for tests of the border."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NOTHING: Mapping[str, str] = {}


def fake_dist(
    site: Path,
    name: str,
    version: str,
    entry_points: Mapping[str, Mapping[str, str]],
    files: Mapping[str, str] = NOTHING,
    requires: Sequence[str] = (),
) -> Path:
    """Install a distribution into the folder `site`, which is to be put on `sys.path`; return its `.dist-info`.

    Args:
        site: The folder; made when it is not there.
        name: Distribution name, such as `acme-losses`.
        version: Its version.
        entry_points: Group -> name -> `module:attribute`.
        files: Path in `site` -> text, such as `{"acme.py": "class Focal: ..."}`.
        requires: Requirements, such as `swift-core>=0.1,<1`.
    """
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    written = {site / path: text for path, text in files.items()}
    requirements = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    written[folder / "METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirements}\n"
    written[folder / "WHEEL"] = "Wheel-Version: 1.0\nGenerator: fake_dist\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    written[folder / "INSTALLER"] = "fake_dist\n"
    if entry_points:
        written[folder / "entry_points.txt"] = _entry_points(entry_points)
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    record = [f"{path.relative_to(site).as_posix()},{_hash(path)},{path.stat().st_size}" for path in written]
    (folder / "RECORD").write_text("\n".join([*record, f"{folder.name}/RECORD,,"]) + "\n", encoding="utf-8")
    return folder


def _entry_points(groups: Mapping[str, Mapping[str, str]]) -> str:
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items())
        for group, names in groups.items()
    ]
    return "\n".join(lines)


def _hash(path: Path) -> str:
    """Return the file's hash as RECORD has it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=")
    return f"sha256={digest.decode('ascii')}"
