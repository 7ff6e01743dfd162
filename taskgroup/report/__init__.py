"""Views of a run: data maps, similarities, groups, scores; and the one-page report made of them.

Everything here reads artefacts only. Figures are matplotlib objects that are returned, never shown.
"""

from taskgroup.report._data_map import plot_data_map
from taskgroup.report._dot_plots import plot_gains, plot_scorecard
from taskgroup.report._graph import plot_task_graph, task_graph
from taskgroup.report._heatmaps import plot_membership, plot_similarity
from taskgroup.report._run import Run, read_run
from taskgroup.report._samples import SampleRow, sample_table
from taskgroup.report._small_multiples import plot_data_maps
from taskgroup.report._write import write_report

__all__ = [
    "Run",
    "SampleRow",
    "plot_data_map",
    "plot_data_maps",
    "plot_gains",
    "plot_membership",
    "plot_scorecard",
    "plot_similarity",
    "plot_task_graph",
    "read_run",
    "sample_table",
    "task_graph",
    "write_report",
]
