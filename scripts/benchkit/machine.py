"""Machine: what a run ran on, for whoever reads its numbers."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path


def describe(binary):
    """Everything that makes one machine's numbers differ from another's, by name."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))
    return {
        "date": datetime.date.today().isoformat(),
        "processors": f"{os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}",
        "memory": f"{memory / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "swapd": _first_line(binary, "--version"),
        "postgres": _first_line("psql", "--version"),
        "redis": _first_line("redis-server", "--version"),
    }


def sentence(machine):
    return f"{machine['date']}, {machine['processors']}, {machine['memory']}, kernel {machine['kernel']}"


def _first_line(*command):
    try:
        ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20)
        return (ran.stdout or ran.stderr).strip().splitlines()[0]
    except (OSError, IndexError):
        return "not found"
