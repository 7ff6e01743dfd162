"""Entry point of the ``taskgroup`` command: the command group, exit codes, signals.

Command modules import only click and the standard library at their top, so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from typing import NoReturn

import click

from taskgroup import __version__

from ._help import Commands
from ._stop import Stopped, listen
from ._terminal import wrapped
from .check import check
from .cluster import cluster
from .compare import compare
from .datasets import datasets
from .doctor import doctor
from .explain import explain
from .export import export
from .help import help_command
from .importer import import_command
from .predict import predict
from .profile import profile
from .report import report
from .retrain import retrain
from .run import run

__all__ = ["main"]

WORDS = {
    "task": "a column of labels or values to predict",
    "Data Map": "of a task: how sure, and how steady, a model in training is of every sample",
    "group": "tasks that are trained together",
    "learner": "what is trained: linear, extra-trees, nets, ...",
    "arm": "which tasks a model has: all-in-one (all of them), per-task (one each), grouped (a group each), ...",
    "method": "a learner with an arm, such as nets/grouped",
    "honest": "answers for rows that the answering model was not fitted to",
    "plan": "the weighted methods that serve every task; `predict` serves it",
}
"""What the pages of help take for granted."""


@click.group(
    cls=Commands,
    sections={
        "Steps": ("run", "profile", "cluster", "retrain", "report"),
        "Use a run": ("predict", "explain", "compare", "export"),
        "Before you start": ("check", "datasets", "import", "doctor", "help"),
    },
    words=WORDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `taskgroup run`: the whole pipeline on the bundled digits, two to three minutes. "
    "Completion of commands and options: `taskgroup help completion`.",
)
@click.version_option(__version__, prog_name="taskgroup")
def taskgroup() -> None:
    """Find out which tasks should be trained together, and whether it is worth it."""


for command in (
    run, profile, cluster, retrain, report, predict, explain, compare, export, check, datasets, import_command,
    doctor, help_command,
):  # fmt: skip
    taskgroup.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage, 128 + the signal (130 Ctrl-C, 143 SIGTERM).

    With --json stdout holds one JSON document in any case: the result, or {"error": {"kind", "message", "exit_code"}}.
    """
    args = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in args or bool(os.environ.get("TASKGROUP_DEBUG"))
    as_json = "--json" in args
    listen()
    try:
        taskgroup.main(args=args, prog_name="taskgroup", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(_printable(shown.getvalue()), err=True, nl=False)
        _fail("usage", error.format_message(), error.exit_code, as_json=as_json)
    except (click.Abort, Stopped) as error:
        number = error.number if isinstance(error, Stopped) else 2
        word = "interrupted" if number == 2 else "terminated"
        text = f"{word}; finished parts are saved, go on with --resume."
        with contextlib.suppress(OSError):  # the terminal may be gone
            click.echo(wrapped(f"taskgroup: {text}", sys.stderr), err=True)
            _say(word, text, 128 + number, as_json=as_json)
            sys.stdout.flush()
        os._exit(128 + number)  # all is saved and let go of; the interpreter takes its time to end
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug:
            click.echo(_printable(traceback.format_exc()), err=True, nl=False)
        text = _one_line(error)
        click.echo(wrapped(f"taskgroup: {text}", sys.stderr), err=True)
        _fail(type(error).__name__, text, 1, as_json=as_json)


def _fail(kind: str, message: str, code: int, *, as_json: bool) -> NoReturn:
    """Exit, with the failure as JSON on stdout where JSON was asked for."""
    _say(kind, message, code, as_json=as_json)
    sys.exit(code)


def _say(kind: str, message: str, code: int, *, as_json: bool) -> None:
    if as_json:
        from taskgroup._display import printable_json

        document = {"error": {"kind": kind, "message": message, "exit_code": code}}
        click.echo(printable_json(json.dumps(document, ensure_ascii=False)))


def _printable(text: str) -> str:
    from taskgroup._display import printable

    return printable(text)


def _one_line(error: Exception) -> str:
    from taskgroup.exceptions import TaskGroupError

    text = _printable(" ".join(str(error).split()))
    if isinstance(error, (TaskGroupError, OSError)):
        return text
    return f"unexpected {type(error).__name__}: {text} (--debug shows where)"
