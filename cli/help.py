"""``taskgroup help``: the pages of help by another way, and how to have a shell complete commands."""

from __future__ import annotations

import click

from ._help import Command

__all__ = ["help_command"]

COMPLETION = """\
bash   eval "$(_TASKGROUP_COMPLETE=bash_source taskgroup)"     in ~/.bashrc
zsh    eval "$(_TASKGROUP_COMPLETE=zsh_source taskgroup)"      in ~/.zshrc
fish   _TASKGROUP_COMPLETE=fish_source taskgroup | source      in ~/.config/fish/completions/taskgroup.fish
"""


@click.command(
    "help", cls=Command, short_help="Show the page of a command.",
    examples=("taskgroup help", "taskgroup help run", "taskgroup help completion"),
)  # fmt: skip
@click.argument("topic", required=False, metavar="[COMMAND]")
@click.pass_context
def help_command(ctx: click.Context, topic: str | None) -> None:
    """Show the page of COMMAND, or all commands; `completion` says how a shell completes commands and options."""
    parent = ctx.parent
    assert parent is not None  # it is a command of the group
    if topic == "completion":
        click.echo(COMPLETION, nl=False)
        return
    if topic is None:
        click.echo(parent.get_help())
        return
    group = parent.command
    assert isinstance(group, click.Group)
    name, command, _ = group.resolve_command(parent, [topic])
    assert command is not None
    with click.Context(command, info_name=name, parent=parent) as own:
        click.echo(command.get_help(own))
