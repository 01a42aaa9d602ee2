"""`swift plugins`: what is installed, and what a plugin takes. Imports no plugin, so broken ones do not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.plugin import PluginSource, PluginSpec
    from swift_core.plugins.kinds import Kind


@click.group("plugins")
def command() -> None:
    """List installed plugins and what they take. Nothing is imported."""


@command.command("list")
@click.option("--kind", "word", metavar="KIND", help="Only this kind: loss, optimizer, orm, ...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--verify", "verifies", is_flag=True, help="Import each plugin in another process and say what fails.")
def list_(word: str | None, as_json: bool, verifies: bool) -> None:
    """List the installed plugins of all kinds."""
    from swift_core.plugins.registry import installed
    from swift_core.plugins.standing import standings

    registry = installed()
    kind = _kind(word) if word else None
    states = {spec: state for spec, state in standings(registry).items() if not kind or spec.kind == kind.name}
    failures = _failures(list(states)) if verifies else {}
    if as_json:
        _print_json([_as_data(spec, state, failures) for spec, state in states.items()])
    else:
        _print_table(states, failures, kind)
        _warn(len(registry.found.findings))
    if any(failures.values()):
        raise click.exceptions.Exit(1)


def _failures(specs: Sequence[PluginSpec]) -> dict[PluginSpec, str]:
    from swift_core.plugins.verify import verify

    return verify(specs)


def _kind(word: str) -> Kind:
    from swift_core.plugins.kinds import KINDS, kind_named
    from swift_core.plugins.policy import did_you_mean

    kind = kind_named(word)
    if kind is None:
        hint = did_you_mean(word, list(KINDS))
        message = f"there is no kind of plugin called {word!r}.{hint}"
        raise SwiftError(Problem("unknown-kind", message, next_step=f"the kinds are {', '.join(KINDS)}"))
    return kind


def _as_data(spec: PluginSpec, state: str, failures: dict[PluginSpec, str]) -> dict[str, Any]:
    data = {
        "kind": spec.kind,
        "name": spec.name,
        "wheel": spec.distribution,
        "version": spec.version,
        "target": spec.target,
        "origin": spec.origin,
        "first_party": spec.first_party,
        "status": state,
    }
    return data | ({"loads": not failures[spec], "failure": failures[spec]} if spec in failures else {})


def _print_json(data: Any) -> None:
    import json

    click.echo(json.dumps(data, indent=2))


def _print_table(states: dict[PluginSpec, str], failures: dict[PluginSpec, str], kind: Kind | None) -> None:
    rows = [("KIND", "NAME", "WHEEL", "VERSION", "STATUS")]
    for spec, state in states.items():
        version = f"{spec.version} (editable)" if spec.origin == "editable" else spec.version
        status = f"FAILS: {failures[spec]}" if failures.get(spec) else "loads" if spec in failures else state
        rows.append((spec.kind, spec.name, spec.distribution, version, status))
    if len(rows) == 1:
        click.echo(f"no {kind.words if kind else ''} plugin is installed".replace("  ", " "))
        return
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        click.echo("  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + [row[4]]).rstrip())
    wheels = len({spec.distribution for spec in states})
    counts = f"{len(states)} plugin{'s' * (len(states) != 1)} of {wheels} wheel{'s' * (wheels != 1)}"
    loaded = "each was imported in another process" if failures else "nothing was imported"
    click.echo(f"{counts}; {loaded}. What one takes: swift plugins info KIND/NAME")


def _warn(num_findings: int) -> None:
    if num_findings:
        things = "1 thing is" if num_findings == 1 else f"{num_findings} things are"
        click.echo(f"{things} odd about what is installed: swift doctor", err=True)


@command.command("info")
@click.argument("reference", metavar="KIND/NAME")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(reference: str, as_json: bool) -> None:
    """Show what a plugin is and takes, read from its source.

    KIND/NAME is as in loss/dpo, loss/swift-loss-zoo:dpo or loss/./my_loss.py:Focal; NAME alone does when it is unique.
    """
    from swift_core.plugins.lookup import look_up
    from swift_core.plugins.options import read_source
    from swift_core.plugins.registry import PluginError, installed
    from swift_core.plugins.standing import standings

    registry = installed()
    states = standings(registry)
    shown = []
    for spec in look_up(registry, reference):
        state = states.get(spec, "ok")
        try:
            source = read_source(spec)
        except PluginError as error:
            source, state = None, f"broken: {error.message}"
        shown.append(_info_data(spec, state, source) if as_json else "\n".join(_info_lines(spec, state, source)))
    if as_json:
        _print_json(shown)
    else:
        click.echo("\n\n".join(map(str, shown)))


def _info_data(spec: PluginSpec, state: str, source: PluginSource | None) -> dict[str, Any]:
    data = _as_data(spec, state, {})
    if source is None:
        return data
    options = [
        {
            "name": o.name,
            "type": o.annotation,
            "required": o.required,
            "default": o.default,
            "help": o.help,
            "schema": o.schema,
        }
        for o in source.options
    ]
    read = {"summary": source.summary, "file": source.file, "line": source.line, "readable": source.readable}
    return data | read | {"takes": source.inputs, "declares": source.declared, "options": options}


def _info_lines(spec: PluginSpec, state: str, source: PluginSource | None) -> list[str]:
    from swift_core.plugins.kinds import KINDS

    kind = KINDS[spec.kind]
    place = f"{source.file}:{source.line}" if source else spec.target
    lines = [
        f"{kind.words} {spec.name}{f': {source.summary}' if source and source.summary else ''}",
        f"  from       {spec.distribution} {spec.version} ({spec.origin})",
        f"  code       {place}",
        f"  chosen by  {kind.key}",
        f"  contract   swift_core.plugin_api.{kind.contract}",
        f"  status     {state}",
    ]
    if source is None:
        return lines
    if any(source.inputs):
        lines.append(f"  takes      {', '.join(word or '?' for word in source.inputs)}")
    if source.declared:
        lines.append(f"  declares   {', '.join(f'{name} = {value!r}' for name, value in source.declared.items())}")
    return [*lines, *_option_lines(source)]


def _option_lines(source: PluginSource) -> list[str]:
    if not source.options:
        unread = "  options    cannot be read from source; they are checked when it is built"
        return ["  options    none" if source.readable else unread]
    lines = ["  options"]
    for option in source.options:
        note = f": {option.annotation}" if option.annotation else ""
        default = "  (required)" if option.required else f" = {_default(option.default, option.annotation)}"
        lines.append(f"    {option.name}{note}{default}")
        lines += [f"        {option.help}"] if option.help else []
    return lines


def _default(value: Any, annotation: str) -> str:
    """Return a default as source has it; one that is computed shows as dots."""
    return "..." if value is None and "None" not in annotation and annotation else repr(value)
