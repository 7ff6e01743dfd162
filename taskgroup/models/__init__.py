"""Multi-task models: one interface, one architecture a file, no loop over tasks in forward."""

from taskgroup.models._adatt import AdaTT
from taskgroup.models._apem import APEM
from taskgroup.models._base import MultiTaskModel
from taskgroup.models._build import ARCHITECTURES, build_model
from taskgroup.models._cross_stitch import CrossStitch
from taskgroup.models._encoders import FieldsEncoder
from taskgroup.models._images import CNNEncoder, ResNet18Encoder
from taskgroup.models._mmoe import MMoE
from taskgroup.models._ple import PLE
from taskgroup.models._shared_bottom import SharedBottom
from taskgroup.models._single_task import SingleTask
from taskgroup.models._sparse import SparseAllocation
from taskgroup.models._tabm import TabM

__all__ = [
    "APEM",
    "ARCHITECTURES",
    "PLE",
    "AdaTT",
    "CNNEncoder",
    "CrossStitch",
    "FieldsEncoder",
    "MMoE",
    "MultiTaskModel",
    "ResNet18Encoder",
    "SharedBottom",
    "SingleTask",
    "SparseAllocation",
    "TabM",
    "build_model",
]
