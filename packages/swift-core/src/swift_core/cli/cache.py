"""`swift cache`: what is kept on disk to be read again, its size, and its removal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.group("cache")
def command() -> None:
    """Show what is kept in the cache folder, or remove it; all of it can be made again.

    SWIFT_CACHE names the folder.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_entries(as_json: bool) -> None:
    """List the folders in the cache with their sizes, and encoded rows with the data they are of."""
    import json

    from swift_core.assemble.data.row_cache import folder_size
    from swift_core.cache import cache_dir

    rows = [(name, folder_size(folder), _what(folder)) for name, folder in _entries()]
    if as_json:
        entries = [dict(zip(("name", "bytes", "what"), row, strict=True)) for row in rows]
        click.echo(json.dumps({"folder": str(cache_dir()), "entries": entries}, indent=2))
        return
    click.echo(f"{cache_dir()}: {len(rows)} entries, {_size(sum(size for _, size, _ in rows))}")
    for name, size, what in rows:
        click.echo(f"  {name}  {_size(size)}  {what}".rstrip())


@command.command("remove")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Remove every entry.")
def remove_entries(names: tuple[str, ...], everything: bool) -> None:
    """Remove entries by the names that `swift cache list` shows; a unique beginning of a name will do."""
    import shutil

    from swift_core.assemble.data.row_cache import folder_size

    if everything == bool(names):
        raise click.UsageError("give names of entries, or --all")
    known = dict(_entries())
    chosen = list(known) if everything else [_named(name, list(known)) for name in names]
    for name in dict.fromkeys(chosen):
        size = folder_size(known[name])
        shutil.rmtree(known[name])
        click.echo(f"removed {name}, {_size(size)}")


def _entries() -> list[tuple[str, Path]]:
    """Return the folders of the cache as `kind/name`."""
    from swift_core.cache import cache_dir

    root = cache_dir()
    kinds = [path for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    return [
        (f"{kind.name}/{path.name}", path)
        for kind in kinds
        for path in sorted(kind.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    ]


def _named(name: str, known: list[str]) -> str:
    from swift_core.errors import Problem, SwiftError

    found = [name] if name in known else [each for each in known if each.startswith(name)]
    if len(found) != 1:
        message = f"no entry of the cache is called {name!r}." if not found else f"{name!r} begins several entries."
        raise SwiftError(Problem("unknown-entry", message, None, "swift cache list"))
    return found[0]


def _what(folder: Path) -> str:
    """Say what encoded rows are of."""
    from swift_core.assemble.data.row_cache import FOLDER, read_entry

    if folder.parent.name != FOLDER:
        return ""
    entry = read_entry(folder)
    return f"{entry['num_rows']:,} rows of {entry['what']}, {entry['made']}" if entry else "damaged"


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"
