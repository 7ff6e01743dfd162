"""Task features: T Data Maps -> T x T similarities and Gram matrices, streamed in bounded memory.

A hard or soft centroid of tasks is an affine combination of task vectors, so the Gram matrix of the vectors holds every
distance that clustering needs; no method here ever builds the (T, 2 N E) matrix of task vectors.
"""

from taskgroup.features._attach import Attachment, attach
from taskgroup.features._evidence import LEVEL, group_p_values, unrelated_tasks
from taskgroup.features._explain import Explanation, explain, explain_groups
from taskgroup.features._relation import Relation, from_distances
from taskgroup.features._task_features import KINDS, Kind, TaskFeatures, embed, task_features

__all__ = [
    "KINDS",
    "LEVEL",
    "Attachment",
    "Explanation",
    "Kind",
    "Relation",
    "TaskFeatures",
    "attach",
    "embed",
    "explain",
    "explain_groups",
    "from_distances",
    "group_p_values",
    "task_features",
    "unrelated_tasks",
]
