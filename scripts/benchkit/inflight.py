"""In flight: what orders cost that are sent and never land."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from .engines import Daemon, get
from .servers import Chain
from .stage import free_port, listens, pss_mb, say

# The node takes each transaction, and the chain never gets one. Slots of ten seconds keep their blockhashes alive.
RULES = '[[rules]]\nwhen = "always"\nfault = "swallow"\n'
SLOT = "10s"
SETTINGS = '[engine]\nsimulate = "when_needed"\nmax_in_flight = {most}\n[caps]\n'


def in_flight(stage, binary, chain_binary, count):
    """Memory of an idle daemon, and with `count` orders in flight."""
    chain = Chain(stage, chain_binary)
    rules, rpc, ws = stage.dir / "rules.toml", free_port(), free_port()
    rules.write_text(RULES)
    proxy = stage.start("proxy", [binary, "chaos-rpc", "--rpc-url", chain.rpc, "--ws-url", chain.ws, "--rules", rules,
                                  "--listen", f"127.0.0.1:{rpc}", "--ws-listen", f"127.0.0.1:{ws}"],
                        env={"SWAPD_LOG": "warn"})
    stage.until(proxy, lambda: listens(rpc))
    daemon = Daemon(stage, binary, chain, "daemon", f"sqlite:{stage.dir}/orders.db", more=SETTINGS.format(most=2 * count),
                    endpoint=(f"http://127.0.0.1:{rpc}", f"ws://127.0.0.1:{ws}"))
    process = daemon.own["swapd"]
    idle = pss_mb(process.pid)
    say(f"idle: {idle:.0f} MB; give {count} orders that never land")
    body = json.dumps({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.001", "slippageBps": 500}).encode()

    def post(_):
        request = urllib.request.Request(f"{daemon.url}/v1/orders", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).read()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(post, range(count)))
    sent = lambda: get(f"{daemon.url}/v1/status")[0]
    peak = 0.0

    def all_sent():
        nonlocal peak
        peak = max(peak, pss_mb(process.pid))
        metrics = urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10).read().decode()
        return submitted(metrics) >= count

    took = stage.until(process, all_sent, patience=600)
    now = pss_mb(process.pid)
    peak = max(peak, now)
    table = (f"| orders in flight | memory | over idle | for each |\n|---|---|---|---|\n| 0 | {idle:.0f} MB | | |\n"
             f"| {count:,} | {now:.0f} MB (at most {peak:.0f} MB) | {now - idle:.0f} MB | "
             f"{(now - idle) * 1024 / count:.1f} KiB |")
    return {"idle_mb": idle, "in_flight_mb": now, "peak_mb": peak, "count": count, "table": table}
