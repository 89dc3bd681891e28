"""The real daemon beside a real embedded chain, each a process of its own, so that the daemon can be restarted alone."""

import atexit
import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

# Far above what anything takes: never a measurement.
PATIENCE = 60
PROGRAM = "DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb"
ENDED = ("confirmed", "failed", "cancelled")

signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


def start(command, **options):
    """A process that does not outlive the tests, however they end."""
    process = subprocess.Popen(command, **options)
    atexit.register(process.kill)  # harmless once it has ended
    return process


def eventually(what, attempt):
    """The first truthy answer of `attempt`, or a failed test that says what was waited for."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = attempt()
        if answer:
            return answer
        time.sleep(0.05)  # between looks; nothing relies on its length
    raise AssertionError(f"waited {PATIENCE} s in vain: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class World:
    """A chain with funded wallets that outlives any daemon."""

    def __init__(self, swapd, wallets=3):
        self.swapd = swapd
        self.folder = tempfile.TemporaryDirectory(prefix="swapd-browser-")
        self.path = pathlib.Path(self.folder.name)
        # The settings of whoever runs the tests are not the tests' settings.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SWAPD_")}
        keys = str(self.path / "keys")
        for n in range(wallets):
            self._run("wallet", "new", f"wallet-{n}", "--dir", keys)
        self.chain = start(
            [swapd, "--config", "localnet", "localnet", "--json", "--slot-time", "100ms", "--rpc-port", "0",
             "--ws-port", "0", "--keys", keys],
            cwd=self.path, env=self.environment, stdout=subprocess.PIPE, text=True,
        )
        ready, _, _ = select.select([self.chain.stdout], [], [], PATIENCE)
        line = self.chain.stdout.readline() if ready else ""
        if not line:
            self.close()
            raise AssertionError("the embedded chain did not start")
        self.facts = json.loads(line)

    def _run(self, *arguments):
        subprocess.run([self.swapd, "--config", "localnet", *arguments], cwd=self.path, env=self.environment,
                       check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def halted(self):
        """As long as this lasts the chain answers nobody: nothing is routed, signed or landed."""
        self.chain.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.chain.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def silent(self, daemon):
        """As long as this lasts nobody tells the daemon what became of a signature. The daemon is started for it."""
        rules = self.path / "silent.toml"
        rules.write_text('[[rules]]\nmethods = ["getSignatureStatuses"]\nfault = { drop = { seen = "close" } }\n')
        ports = free_port(), free_port()
        proxy = start(
            [self.swapd, "chaos-rpc", "--rpc-url", self.facts["rpcUrl"], "--ws-url", self.facts["wsUrl"], "--listen",
             f"127.0.0.1:{ports[0]}", "--ws-listen", f"127.0.0.1:{ports[1]}", "--rules", str(rules)],
            cwd=self.path, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        text = daemon.config.read_text()
        try:
            daemon.stop()
            daemon.config.write_text(text.replace(self.facts["rpcUrl"], f"http://127.0.0.1:{ports[0]}")
                                     .replace(self.facts["wsUrl"], f"ws://127.0.0.1:{ports[1]}"))
            daemon.start()
            yield
        finally:
            daemon.stop()
            proxy.terminate()
            proxy.wait(PATIENCE)
            daemon.config.write_text(text)
            daemon.start()

    def config(self, name, port, key, more):
        tokens = "".join(f'[[tokens]]\nsymbol = "{it["symbol"]}"\nmint = "{it["mint"]}"\n' for it in self.facts["tokens"])
        pools = json.dumps([it["pool"] for it in self.facts["pools"]])
        path = self.path / f"{name}.toml"
        path.write_text(
            f'[chain]\ncluster = "local"\nrpc_url = "{self.facts["rpcUrl"]}"\nws_url = "{self.facts["wsUrl"]}"\n'
            f'status_poll = "100ms"\nheight_poll = "500ms"\nrebroadcast = "1s"\nrebroadcast_per_order = "0ms"\n'
            f'[store]\nurl = "sqlite:{self.path / name}.db"\n[wallets]\ndir = "{self.path / "keys"}"\n'
            f'[api]\nlisten = "127.0.0.1:{port}"\n' + (f'key = "{key}"\n' if key else "")
            + f'[raydium_cpmm]\nprogram = "{PROGRAM}"\npools = {pools}\n{more}{tokens}'
        )
        return path

    def close(self):
        self.chain.terminate()
        self.chain.wait(PATIENCE)
        self.chain.stdout.close()
        self.folder.cleanup()


class Daemon:
    """A daemon that can be stopped and started again on the same port, with the same store."""

    def __init__(self, world, name, key=None, more=""):
        self.world = world
        self.port = free_port()
        self.key = key
        self.config = world.config(name, self.port, key, more)
        self.store = world.path / f"{name}.db"
        self.log = (world.path / f"{name}.log").open("a")
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self):
        self.process = start(
            [self.world.swapd, "--config", str(self.config), "serve"],
            cwd=self.world.path, env=self.world.environment, stdout=subprocess.DEVNULL, stderr=self.log,
        )
        eventually("the daemon to be ready", self._is_ready)

    def _is_ready(self):
        assert self.process.poll() is None, pathlib.Path(self.log.name).read_text()
        try:
            return self.get("ready")["ready"]
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        self.log.close()

    def run(self, *arguments):
        """What a command of the daemon's prints, with the daemon's own configuration."""
        command = [self.world.swapd, "--config", str(self.config), *arguments]
        return subprocess.run(command, cwd=self.world.path, env=self.world.environment, check=True, timeout=PATIENCE,
                              capture_output=True, text=True).stdout

    def get(self, path):
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path, **body):
        return self._ask(urllib.request.Request(self.url + path, json.dumps(body).encode(),
                                                {"Content-Type": "application/json"}))

    def took_up(self, order):
        """Counts in the stopped daemon's store that the order was taken up once more."""
        with contextlib.closing(sqlite3.connect(self.store)) as store, store:
            store.execute("update orders set take_ups = take_ups + 1 where id = ?", (order,))

    def order(self, **fields):
        """An accepted order's id."""
        return self.post("v1/orders", tokenIn="SOL", tokenOut="USDC", **fields)["id"]

    def ended(self, order):
        def look():
            found = self.get(f"v1/orders/{order}")
            return found if found["status"] in ENDED else None
        return eventually(f"the end of order {order}", look)

    def ids(self):
        """Every order's id, newest first."""
        ids, cursor = [], ""
        while cursor is not None:
            page = self.get(f"v1/orders?limit=200{cursor}")
            ids += [order["id"] for order in page["orders"]]
            cursor = f"&cursor={page['nextCursor']}" if page["nextCursor"] else None
        return ids

    def _ask(self, request):
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
