"""Write the lowest versions that setup.cfg allows, as constraints for pip; a check by hand, as it needs the network.

    python tests/bounds/lowest.py > lowest.txt
    python3.11 -m venv /tmp/lowest && /tmp/lowest/bin/pip install -c lowest.txt -e '.[test]'
    /tmp/lowest/bin/python -m pytest -o filterwarnings=default

Old releases warn of what has changed since, hence the last option. The wheels of torch before the tested one bring
gigabytes of libraries for graphics cards; put the tested version in its line of lowest.txt to do without.

The newest allowed versions are those of constraints.txt, which CI tests.
"""

import configparser
import re
from pathlib import Path

SETUP = Path(__file__).resolve().parents[2] / "setup.cfg"


def lowest(text):
    """Return ["name==version", ...] of every requirement in a setup.cfg that has a lower bound."""
    config = configparser.ConfigParser(inline_comment_prefixes="#")
    config.read_string(text)
    lines = config["options"]["install_requires"].splitlines()
    for requirements in config["options.extras_require"].values():
        lines += requirements.splitlines()
    found = {}
    for line in lines:
        match = re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)", line.strip())
        if match:
            found[match[1].lower()] = match[2]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    print("\n".join(lowest(SETUP.read_text(encoding="utf-8"))))
