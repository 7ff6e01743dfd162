"""``taskgroup doctor``: what this installation has, and what would slow it down."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import click

from ._help import Command
from ._options import common

__all__ = ["doctor"]

EXTRAS = {
    "parquet": "pyarrow",
    "dask": "distributed",
    "lightning": "lightning",
    "transformers": "transformers",
    "peft": "peft",
    "mlflow": "mlflow",
    "tensorboard": "tensorboard",
    "skops": "skops",
    "onnx": "onnx",
}


@click.command(
    cls=Command, short_help="Show versions, extras, cores and thread settings.",
    examples=("taskgroup doctor", "taskgroup doctor --json"),
)  # fmt: skip
@common
def doctor(**given: Any) -> None:
    """Show versions, extras, cores and thread settings, and warn of what would slow a run down."""
    import torch

    from taskgroup import __version__
    from taskgroup._artifact import versions

    from ._output import Output

    output = Output.of(given)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    facts = {"taskgroup": __version__, **versions(), "cores": cores, "torch threads": torch.get_num_threads()}
    facts |= {f"extra [{extra}]": importlib.util.find_spec(module) is not None for extra, module in EXTRAS.items()}
    advice = []
    if torch.get_num_threads() > cores:
        advice.append(f"torch uses {torch.get_num_threads()} threads on {cores} cores; set OMP_NUM_THREADS={cores}.")
    if cores > 1 and os.environ.get("OMP_WAIT_POLICY", "").upper() != "PASSIVE":
        advice.append(
            "on a busy machine small models run faster with OMP_WAIT_POLICY=PASSIVE; workers set it themselves."
        )

    def show() -> None:
        output.table("Installation", ("what", "value"), [(name, str(value)) for name, value in facts.items()])
        for line in advice:
            output.line(f"- {line}")

    output.result({"facts": facts, "advice": advice}, show)
    output.next_step("taskgroup run")
