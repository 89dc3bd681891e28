"""Build: the optimised binary, where none is given."""

import os
import subprocess
import sys
from pathlib import Path

from .stage import say

ROOT = Path(__file__).resolve().parent.parent.parent


def build():
    say("build swapd, optimised")
    subprocess.run([ROOT / "scripts/install", "build"], check=True, stdout=sys.stderr)
    subprocess.run(["cargo", "build", "--locked", "--release"], cwd=ROOT, check=True, stdout=sys.stderr)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/swapd"
