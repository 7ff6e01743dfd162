"""What README and docs/evidence.md say was measured stands in benchmarks/RESULTS.md, which the runner writes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"(?<![\w.,-])[+-]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:e-?\d+)?(?![\w])")
NOT_YET = {"planted"}
"""Benchmarks of which README still has figures of runs before RESULTS.md: each leaves when `python -m benchmarks NAME`
has been run, and none may join."""
COMMAND = re.compile(r"python -m benchmarks[ .](\w+)")


def numbers(text):
    """Return what numbers a text holds outside of code: as written, and as values."""
    text = re.sub(r"`[^`]*`|(?m:^ {4}.*$)", " ", text)
    return [(token, float(token.replace(",", ""))) for token in NUMBER.findall(text)]


def said(token, value, known):
    """Whether a number of a text is a measured one, rounded as it is there; percentages may stand as shares."""
    digits = len(token.partition(".")[2])
    half = 0.5 * 10.0**-digits + 1e-9
    return any(abs(factor * one - value) <= half for one in known for factor in (1.0, 100.0))


def sections():
    """Return the text of every section of RESULTS.md by the name of its benchmark."""
    parts = re.split(r"(?m)^## (\w+)$", (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def claims():
    """Return (where, benchmark, text): table rows that name a benchmark, and the sections of docs/evidence.md."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = [
        ("README.md", match.group(1), line.rstrip(" |").rpartition("|")[2])
        for line in readme.splitlines()
        if line.startswith("|") and (match := COMMAND.search(line))
    ]
    parts = re.split(r"(?m)^## .*\(`(\w+)`\)$", (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8"))
    found = [claim for claim in found if claim[1] not in NOT_YET]
    return found + [("docs/evidence.md", name, text) for name, text in zip(parts[1::2], parts[2::2], strict=True)]


@pytest.mark.parametrize(("where", "name", "text"), claims(), ids=lambda value: value[:20])
def test_every_measured_number_is_in_the_results(where, name, text):
    results = sections()
    assert name in results, f"{where} names the benchmark {name}, which RESULTS.md has not"
    known = [abs(value) for _, value in numbers(results[name])]
    lost = [token for token, value in numbers(text) if not said(token, abs(value), known)]
    assert not lost, f"{where}: {lost} are not in the section {name} of RESULTS.md"


def test_numbers_are_found_and_compared_as_they_are_rounded():
    assert [token for token, _ in numbers("`x 7` .5 of 1,024 is 12 %, 3.2e-5, v2, a.b3")] == [
        ".5",
        "1,024",
        "12",
        "3.2e-5",
    ]
    assert said("12", 12.0, [0.1234])
    assert said(".96", 0.96, [0.9583])
    assert not said(".96", 0.96, [0.9683])


def test_the_results_say_with_what_they_were_measured():
    document = json.loads((ROOT / "benchmarks" / "RESULTS.json").read_text(encoding="utf-8"))
    assert set(document) == set(sections())
    assert not NOT_YET & set(document)
    for name, section in document.items():
        assert section["status"] in ("done", "skipped"), name
        assert section["rows"] or section["reason"], name
        assert section["commit"], name
        assert {"processor", "cores", "busy"} <= set(section["machine"]), name
        assert {"python", "torch", "numpy"} <= set(section["versions"]), name


def test_the_runner_skips_by_name_what_needs_absent_sets_and_keeps_other_sections(tmp_path):
    kept = {"older": {"status": "skipped", "reason": "x", "rows": [{"a": 1.23456, "b": None}], "what": "w",
                      "commit": "c", "date": "d", "seconds": 1.0, "quick": True,
                      "machine": {"processor": "p", "cores": 1, "busy": 0.0}, "versions": {"python": "3"}}}  # fmt: skip
    (tmp_path / "RESULTS-quick.json").write_text(json.dumps(kept))
    command = [sys.executable, "-m", "benchmarks", "census", "--quick", "--out", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "RESULTS-quick.md").read_text(encoding="utf-8")
    assert "Skipped: needs --data with census_kdd.npz." in text
    assert "| 1.235 |  |" in text
    assert set(json.loads((tmp_path / "RESULTS-quick.json").read_text())) == {"census", "older"}
    unknown = subprocess.run([*command[:3], "cnesus"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert "no benchmark 'cnesus'" in unknown.stderr
