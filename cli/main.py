"""Entry point of the ``taskgroup`` command: the command group, exit codes, signals.

Command modules import only click and the standard library at their top, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType

import click

from taskgroup import __version__

from .check import check
from .cluster import cluster
from .datasets import datasets
from .doctor import doctor
from .importer import import_command
from .predict import predict
from .profile import profile
from .report import report
from .retrain import retrain
from .run import run

__all__ = ["main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `taskgroup run`: the whole pipeline on the bundled digits, two to three minutes.",
)
@click.version_option(__version__, prog_name="taskgroup")
def taskgroup() -> None:
    """Find out which tasks should be trained together, and whether it is worth it."""


for command in (check, run, profile, cluster, retrain, report, predict, datasets, import_command, doctor):
    taskgroup.add_command(command)


class Terminated(BaseException):
    """SIGTERM arrived; what is finished has been saved."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage, 130 Ctrl-C, 143 SIGTERM."""
    args = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in args or bool(os.environ.get("TASKGROUP_DEBUG"))
    signal.signal(signal.SIGTERM, _terminate)
    try:
        taskgroup.main(args=args, prog_name="taskgroup", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("taskgroup: interrupted; finished parts are saved, go on with --resume.", err=True)
        sys.exit(130)
    except Terminated:
        click.echo("taskgroup: terminated; finished parts are saved, go on with --resume.", err=True)
        sys.exit(143)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug:
            traceback.print_exc()
        click.echo(_one_line(error), err=True)
        sys.exit(1)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _one_line(error: Exception) -> str:
    from taskgroup.exceptions import TaskGroupError

    text = " ".join(str(error).split())
    if isinstance(error, (TaskGroupError, OSError)):
        return f"taskgroup: {text}"
    return f"taskgroup: unexpected {type(error).__name__}: {text} (--debug shows where)"
