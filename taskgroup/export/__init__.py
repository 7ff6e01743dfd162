"""A plan in the forms that other programs read: tables, scikit-learn, TorchScript, ONNX."""

from taskgroup.export._export import FORMATS, export_run
from taskgroup.export._plan_module import PlanModule

__all__ = ["FORMATS", "PlanModule", "export_run"]
