"""Clusterers of tasks with the scikit-learn contract, and :func:`group_tasks` that chains them behind one call."""

from taskgroup.cluster._fuzzy import FuzzyCMeans
from taskgroup.cluster._group_tasks import group_tasks
from taskgroup.cluster._kmeans import KMeansGroups
from taskgroup.cluster._linkage import AverageLinkageGroups, WardGroups
from taskgroup.cluster._louvain import LouvainGroups
from taskgroup.cluster._methods import METHODS, Method
from taskgroup.cluster._mixture import MixtureGroups
from taskgroup.cluster._sizes import check_sizes
from taskgroup.cluster._soft import mixture_membership
from taskgroup.cluster._spectral import SpectralGroups
from taskgroup.cluster._summary import cluster_summary

__all__ = [
    "METHODS",
    "AverageLinkageGroups",
    "FuzzyCMeans",
    "KMeansGroups",
    "LouvainGroups",
    "Method",
    "MixtureGroups",
    "SpectralGroups",
    "WardGroups",
    "check_sizes",
    "cluster_summary",
    "group_tasks",
    "mixture_membership",
]
