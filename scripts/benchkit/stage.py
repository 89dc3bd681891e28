"""Stage: a temporary folder and every process of a run, all gone however the run ends; and what processes cost."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def say(text):
    """A line of progress; results alone go to standard output."""
    print(f"==> {text}", file=sys.stderr, flush=True)


class Failed(Exception):
    """Ends the script with one sentence."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Stage:
    """Owns the folder and the processes. Use it in a `with`."""

    def __init__(self, folder=None):
        self.parent = folder
        self.running = []

    def __enter__(self):
        # A terminated script runs its clean-up like an interrupted one.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.dir = Path(tempfile.mkdtemp(prefix="swapd-bench-", dir=self.parent))
        self.dir.chmod(0o755)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for process in list(reversed(self.running)):
            self.stop(process, patience=2)
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, name, command, user=None, env=None, cwd=None):
        """Starts a process in a session of its own; its output goes to `name`.log."""
        log = open(self.dir / f"{name}.log", "ab")
        with log:
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd or self.dir,
                env={**os.environ, **(env or {})}, start_new_session=True, user=user, group=user,
                extra_groups=[] if user else None)
        process.name = name
        self.running.append(process)
        return process

    def stop(self, process, patience=20, by=signal.SIGTERM):
        """Ends a process and everything in its session."""
        if process in self.running:
            self.running.remove(process)
        for how, wait in ((by, patience), (signal.SIGKILL, 10)):
            try:
                os.killpg(process.pid, how)
                process.wait(wait)
                break
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                break
        try:  # what the leader left behind
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.poll()

    def until(self, process, is_true, patience=60):
        """Waits for a condition that a living process brings about; how long it took, in seconds."""
        began = time.monotonic()
        while not is_true():
            if process.poll() is not None:
                raise Failed(f"{process.name} ended by itself: {self.log(process)}")
            if time.monotonic() - began > patience:
                raise Failed(f"{process.name} is not ready after {patience} s: {self.log(process)}")
            time.sleep(0.005)
        return time.monotonic() - began

    def log(self, process):
        return (self.dir / f"{process.name}.log").read_text(errors="replace")[-1500:]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except OSError:
        return False


def tree(root):
    """A process and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found


def cpu_seconds(root):
    """Processor time of a process tree and of its children that ended."""
    total = 0
    for pid in tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def pss_mb(root):
    """Memory of a process tree: its own pages and its part of shared ones, in MiB."""
    total = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


class Meter:
    """Processor time and highest memory of named processes while a block runs.

    `counted` are those whose memory is the engine's own; the others are databases, chain and the like."""

    def __init__(self, processes, counted):
        self.processes, self.counted = processes, counted
        self.peak, self.done = 0.0, threading.Event()

    def __enter__(self):
        self.before = {name: cpu_seconds(pid) for name, pid in self.processes.items()}
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.cpu = {name: cpu_seconds(pid) - self.before[name] for name, pid in self.processes.items()}

    def _watch(self):
        while True:
            self.peak = max(self.peak, sum(pss_mb(self.processes[name]) for name in self.counted))
            if self.done.wait(0.5):
                return
