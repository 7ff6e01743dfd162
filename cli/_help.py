"""Pages of help: options in sections, examples that a test runs, and a hint for a command that was mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["SECTIONS", "Command", "Commands", "Option"]

SECTIONS = ("Data", "Grouping", "Learners", "Compute", "Output")
"""Sections of a command's options, in the order of a page."""


class Option(click.Option):
    """An option that belongs to a section of the page."""

    def __init__(self, *names: Any, section: str = "Output", **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.section = section


class Command(click.Command):
    """A command whose page shows options by section, and ends with examples."""

    def __init__(self, *names: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.examples = tuple(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a list for every section."""
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                rows[getattr(parameter, "section", "Output")].append(record)
        for section, records in rows.items():
            if records:
                with formatter.section(section):
                    formatter.write_dl(records, col_max=26)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on a line of its own."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Commands(click.Group):
    """A group of commands in sections, which says what a mistyped command may have meant."""

    def __init__(self, *names: Any, sections: dict[str, Sequence[str]], words: dict[str, str], **attributes: Any):
        super().__init__(*names, **attributes)
        self.sections, self.words = sections, words

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the page."""
        return [name for names in self.sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, then what the words of the pages mean."""
        for section, names in self.sections.items():
            with formatter.section(section):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(100)) for name in names])
        with formatter.section("Words"):
            formatter.write_dl(list(self.words.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command of a name; of a wrong one, raise with the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.commands, n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message.rstrip('.')}. Did you mean {near[0]!r}?", ctx) from None
