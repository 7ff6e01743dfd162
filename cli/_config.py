"""Defaults of options from a TOML file: by option name at the top, and under [command] for one command."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path

import click

__all__ = ["read_config"]


def read_config(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Make the entries of the file the defaults of the command; refuse what is no option of any command."""
    if value is None:
        return
    try:
        document = tomllib.loads(Path(value).read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise click.BadParameter(f"{value}: not valid TOML ({error}).", ctx, param) from None
    commands = _commands(ctx)
    tables = {key: item for key, item in document.items() if isinstance(item, dict)}
    flat = {key: item for key, item in document.items() if key not in tables}
    names = {name: _names(command) for name, command in commands.items()}
    everywhere = {option for own in names.values() for option in own}
    problem = _unknown(tables, commands, "no command [{}]") or _unknown(flat, everywhere, "no command has an option {}")
    for command, table in tables.items():
        problem = problem or _unknown(table, names.get(command, ()), f"`{command}` has no option {{}}")
    if problem:
        raise click.BadParameter(f"{value}: {problem}", ctx, param)
    own = names[ctx.info_name or ""]
    given = {key.replace("_", "-"): item for key, item in {**flat, **tables.get(ctx.info_name or "", {})}.items()}
    repeated = {parameter.name for parameter in ctx.command.params if getattr(parameter, "multiple", False)}
    defaults = {}
    for key, item in given.items():
        if key not in own:
            continue
        many = own[key] in repeated
        items = item if many and isinstance(item, list) else [item]
        if not all(isinstance(one, str | int | float) for one in items):
            rule = "text, a number, true or false" + (", or a list of them" if many else "")
            raise click.BadParameter(f"{value}: {key!r} must be {rule}; got {item!r:.80}.", ctx, param)
        defaults[own[key]] = items if many else item
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def _commands(ctx: click.Context) -> dict[str, click.Command]:
    parent = ctx.parent.command if ctx.parent is not None else None
    return dict(parent.commands) if isinstance(parent, click.Group) else {ctx.info_name or "": ctx.command}


def _names(command: click.Command) -> dict[str, str]:
    """Return {name in a file: name of the parameter}, of what has a long name."""
    return {
        option.lstrip("-"): parameter.name or ""
        for parameter in command.params
        for option in parameter.opts
        if len(option) > 2
    }


def _unknown(keys: Iterable[str], known: Iterable[str], message: str) -> str | None:
    listed = sorted(known)
    for key in keys:
        if key not in listed and key.replace("_", "-") not in listed:
            near = difflib.get_close_matches(key, listed, n=1, cutoff=0.5)
            return f"{message.format(repr(key))}." + (f" Did you mean {near[0]!r}?" if near else "")
    return None
