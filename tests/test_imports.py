"""The layers of the package hold: a module imports only from lower ones, and heavy libraries stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "taskgroup"

# Lower first. A module may import from its own piece and from any row above; pieces of one row do not know each other,
# but for the first two rows, whose modules build on each other without a circle (a test of its own).
LAYERS = [
    {"exceptions", "_artifact", "_display", "_documents", "_lock", "_memory", "_processes", "_validation", "cost"},
    {"tasks", "datamaps", "exchange", "features", "grouping", "data", "scoring"},
    {"gain"},
    {"cluster", "tracker", "models", "plan", "report"},
    {"callbacks"},
    {"integrations", "training", "arms"},
    {"learners"},
    {"experiment"},
    {"estimators"},
    {"compare", "explain", "export"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
WITHOUT = {
    "torch": {
        "datamaps",
        "exchange",
        "features",
        "grouping",
        "scoring",
        "gain",
        "cluster",
        "report",
        "compare",
        "explain",
        "tasks",
        "data",
        "plan",
        "arms",
    },
    "sklearn": {"models", "tracker"},
}


def _modules():
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def _piece(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_import_only_from_lower_layers(path):
    piece = _piece(path)
    assert piece in LEVEL, f"{path} has no layer: add it to LAYERS"
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "taskgroup" and len(parts) > 1 and parts[1] != piece:
            below = LEVEL[parts[1]] < LEVEL[piece] or LEVEL[parts[1]] == LEVEL[piece] <= 1
            assert below, f"{path}: imports {name} of layer {LEVEL[parts[1]]} from layer {LEVEL[piece]}"


def _files(path, names):
    """Yield the modules a file reads: of ``from package import module`` the module, else the package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in names:
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from modules & names.keys() or {node.module}


def test_modules_import_in_no_circle():
    """Neither at the top of a file nor inside a function; a package stands for its ``__init__``."""
    names = {".".join(("taskgroup", *path.relative_to(ROOT).with_suffix("").parts)): path for path in _modules()}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    below = {name: set(_files(path, names)) for name, path in names.items()}
    free: set[str] = set()
    while left := {name for name in names if name not in free and below[name] <= free}:
        free |= left
    assert sorted(names.keys() - free) == []


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_where_they_belong(path):
    for library, pieces in WITHOUT.items():
        if _piece(path) in pieces:
            assert library not in {name.split(".")[0] for name in _imports(path)}, f"{path} imports {library}"


def test_importing_taskgroup_loads_neither_torch_nor_sklearn():
    code = "import sys, taskgroup; print([m for m in ('torch', 'sklearn', 'scipy', 'matplotlib') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_package_with_python_files_is_listed_in_setup_cfg():
    listed = (
        (ROOT.parent / "setup.cfg").read_text(encoding="utf-8").split("packages =")[1].split("package_dir")[0].split()
    )
    folders = {".".join(("taskgroup", *path.parent.relative_to(ROOT).parts)) for path in ROOT.rglob("*.py")}
    assert folders | {"taskgroup_cli"} == set(listed)
