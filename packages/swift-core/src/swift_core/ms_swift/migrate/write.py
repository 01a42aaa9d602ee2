"""A migrated run file as YAML that a person goes on with."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.ms_swift.migrate.convert import Migrated

_SECTIONS = ("model", "data", "train", "reward", "rollout", "device", "plugins")


def written(migrated: Migrated) -> str:
    """Return the run file; defaults of the other program that stand in it are marked."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    root = CommentedMap()
    for section in _SECTIONS:
        prefix = f"{section}."
        values = {key.removeprefix(prefix): value for key, value in migrated.run.items() if key.startswith(prefix)}
        if values:
            root[section] = _section(values, migrated.remarks, prefix)
    for key, value in migrated.run.items():
        if "." not in key:
            root[key] = value
    root.yaml_set_start_comment(f"Made by swift migrate from arguments of {migrated.program}.")
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 118
    text = io.StringIO()
    yaml.dump(root, text)
    return text.getvalue()


def _section(values: Mapping[str, Any], remarks: Mapping[str, str], prefix: str) -> Any:
    from ruamel.yaml.comments import CommentedMap

    section = CommentedMap()
    for key, value in values.items():
        section[key] = _shown(value)
        if remark := remarks.get(f"{prefix}{key}"):
            section.yaml_add_eol_comment(remark, key)
    return section


def _shown(value: Any) -> Any:
    """Return a list or mapping that is written on one line, as people write short ones."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str):
        return DoubleQuotedScalarString(value) if value in ("no", "yes", "on", "off") or ":" in value else value
    if isinstance(value, dict):
        made: Any = CommentedMap((key, _shown(member)) for key, member in value.items())
        made.fa.set_flow_style()
        return made
    if isinstance(value, list):
        made = CommentedSeq(_shown(member) for member in value)
        made.fa.set_flow_style()
        return made
    return value
