"""The example of the views runs and finds most of the labels that it made wrong."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "look_at_data_maps.py"


def test_wrong_labels_are_among_the_hardest_samples(tmp_path):
    out = subprocess.run([sys.executable, EXAMPLE, tmp_path], capture_output=True, text=True, check=True)
    found, hardest = map(int, re.match(r"(\d+) of the (\d+) hardest", out.stdout).groups())
    assert found > hardest / 2
    for name in ("data_map.png", "data_maps.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
