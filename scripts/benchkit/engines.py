"""Engines: what is measured. Each starts afresh for its turn, says where orders go, and which processes it is."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from .stage import Failed, free_port, listens, say

PROFILE = Path(__file__).resolve().parent.parent.parent / "config/localnet.toml"

# Paper mode: the mock fills every order, at once and for nothing; quotes come from the chain as always. The queue's bound
# is above any burst, so that what is measured is work and not refusals.
PAPER = """
[router]
mode = "paper"
[meteora_mock]
enabled = true
spread_bps = 0
fee_bps = 0
latency_min = "0ms"
latency_max = "0ms"
failures_per_mille = 0
"""


def market():
    """Pools and tokens of the embedded chain, as the profile for it has them."""
    sections = re.split(r"^(?=\[)", PROFILE.read_text(), flags=re.M)
    return "".join(section for section in sections if section.startswith(("[raydium_cpmm]", "[[tokens]]")))


def get(url):
    """The JSON that a GET answers, whatever its status, and that status; 0 when nobody answers."""
    return ask(urllib.request.Request(url))


def post(url, body):
    """The same for a POST of JSON."""
    return ask(urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}))


def ask(request):
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer), answer.status
    except urllib.error.HTTPError as error:
        return json.loads(error.read() or b"null"), error.code
    except (OSError, ValueError):
        return None, 0


class Engine:
    """What both have in common: a `stage`, a `port`, and processes of their `own` by name."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        for process in self.own.values():
            self.stage.stop(process)


class Daemon(Engine):
    """swapd in one process, or one api process and some workers."""

    post, id_field, body = "/v1/orders", "id", '{"tokenIn":"SOL","tokenOut":"USDC","amountIn":"0.01","slippageBps":100}'
    # One socket tells of all orders.
    sockets = "--ws-shared", "ws://127.0.0.1:{port}/v1/stream"

    def __init__(self, stage, binary, chain, name, store, queue=None, workers=0, more=PAPER, endpoint=None,
                 patience=60):
        self.stage, self.name, self.port = stage, name, free_port()
        rpc, ws = endpoint or (chain.rpc, chain.ws)
        shared = f'url = "{queue}"' if queue else ""
        config = stage.dir / f"{name}.toml"
        config.write_text(
            f'[chain]\ncluster = "local"\nrpc_url = "{rpc}"\nws_url = "{ws}"\n[wallets]\ndir = "{chain.keys}"\n'
            f'[store]\nurl = "{store}"\n[queue]\n{shared}\nmax_depth = 2000000\n[events]\n{shared}\n'
            f'[api]\nlisten = "127.0.0.1:{self.port}"\nmax_requests = 1024\n{more}\n{market()}')
        serve = [binary, "serve", "--config", config]
        env = {"SWAPD_LOG": "warn"}
        self.own = {}
        if workers:
            for n in range(1, workers + 1):
                self.own[f"worker {n}"] = stage.start(f"{name}-worker{n}", [*serve, "--role", "worker"], env=env)
            self.own["api"] = stage.start(f"{name}-api", [*serve, "--role", "api"], env=env)
            front = self.own["api"]
        else:
            front = self.own["swapd"] = stage.start(name, serve, env=env)
        # How long the start took, until the daemon says itself that it can take and execute orders.
        self.ready_after = stage.until(front, self.is_ready, patience)

    def is_ready(self):
        return listens(self.port) and get(f"{self.url}/ready")[1] == 200


class Peer(Engine):
    """The Node engine to compare with, in its best set-up: an api and a worker process."""

    post, id_field = "/api/orders/execute", "orderId"
    body = '{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":1,"slippageBps":100}'
    # It has no socket for all orders: one for each.
    sockets = "--ws", "ws://127.0.0.1:{port}/ws?orderId={{id}}"

    def __init__(self, stage, folder, name, postgres_url, redis_url):
        self.stage, self.name, self.port = stage, name, free_port()
        env = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "PORT": str(self.port)}
        start = lambda role: stage.start(f"{name}-{role}", ["node", folder / "server.mjs"], env={**env, "ROLE": role})
        self.own = {"api": start("api")}
        stage.until(self.own["api"], lambda: listens(self.port))
        self.own["worker"] = start("worker")


def install_peer(stage, folder):
    """A copy of the peer with its packages."""
    copy = stage.dir / "peer"
    shutil.copytree(folder, copy)
    # What may be copied from a folder that nobody may write to must still be writable here.
    subprocess.run(["chmod", "-R", "u+w", copy], check=True)
    if not (copy / "node_modules").is_dir():
        say("install the peer's packages")
        ran = subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=copy, capture_output=True, text=True)
        if ran.returncode != 0:
            raise Failed(f"npm install: {ran.stderr.strip()[-500:]}")
    return copy
