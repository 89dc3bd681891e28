"""In flight: what orders cost that are sent and never land."""

import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from .engines import Daemon, post
from .servers import Chain
from .stage import Failed, free_port, listens, pss_mb, say

# The proxy takes each transaction, and the chain never gets one.
RULES = '[[rules]]\nwhen = "always"\nfault = "swallow"\n'
# Blockhashes live for 150 slots: long enough to sign all orders before the first one expires.
SLOT = "3s"
SETTINGS = '[engine]\nsimulate = "when_needed"\nmax_in_flight = {most}\n'


def in_flight(stage, binary, chain_binary, count):
    """Memory of an idle daemon, and with `count` orders in flight."""
    chain = Chain(stage, chain_binary, SLOT)
    rules, rpc, ws = stage.dir / "rules.toml", free_port(), free_port()
    rules.write_text(RULES)
    proxy = stage.start("proxy", [binary, "chaos-rpc", "--rpc-url", chain.rpc, "--ws-url", chain.ws, "--rules", rules,
                                  "--listen", f"127.0.0.1:{rpc}", "--ws-listen", f"127.0.0.1:{ws}"],
                        env={"SWAPD_LOG": "warn"})
    stage.until(proxy, lambda: listens(rpc))
    daemon = Daemon(stage, binary, chain, "daemon", f"sqlite:{stage.dir}/orders.db", more=SETTINGS.format(most=2 * count + 100),
                    endpoint=(f"http://127.0.0.1:{rpc}", f"ws://127.0.0.1:{ws}"))
    process = daemon.own["swapd"]
    idle = pss_mb(process.pid)
    say(f"idle: {idle:.0f} MB; give {count} orders that never land")
    body = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.001", "slippageBps": 500}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(f"{daemon.url}/v1/orders", body), range(count)))
    refused = [answer for answer, status in answers if status != 201]
    if refused:
        raise Failed(f"{len(refused)} orders were not accepted: {refused[0]}")
    peak = 0.0

    def all_signed():
        nonlocal peak
        peak = max(peak, pss_mb(process.pid))
        return submitted(daemon) >= count

    stage.until(process, all_signed, patience=600)
    now = pss_mb(process.pid)
    peak = max(peak, now)
    table = (f"| orders in flight | memory | over idle | for each |\n|---|---|---|---|\n| 0 | {idle:.0f} MB | | |\n"
             f"| {count:,} | {now:.0f} MB (at most {peak:.0f} MB) | {now - idle:.0f} MB | "
             f"{(now - idle) * 1024 / count:.1f} KiB |")
    return {"idle_mb": idle, "in_flight_mb": now, "peak_mb": peak, "count": count, "table": table}


def submitted(daemon):
    """How many orders are signed and have no end."""
    with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10) as page:
        found = re.search(r'^swapd_orders_open\{[^}]*status="submitted"[^}]*\} (\d+)', page.read().decode(), re.M)
    return int(found.group(1)) if found else 0
