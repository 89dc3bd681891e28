"""Load: gives an engine orders and says what became of them, by either of two generators."""

import json
import subprocess
import tempfile

from .stage import Failed, Meter

# Both engines complete more with so many than with 64, and no more with twice as many.
CLIENTS = 256


def give(engine, others, orders, rate=None, generator=None, loadtest=None):
    """One run. Without a rate it is a burst: each client posts again at once. Times are milliseconds.

    `others` are processes beside the engine's own whose processor time counts, by name. `generator` is a `load.mjs`;
    without it `loadtest` is the binary whose `loadtest` gives the orders: its clients wait for their order's end."""
    own = {name: process.pid for name, process in engine.own.items()}
    with Meter({**own, **{name: process.pid for name, process in others.items()}}, counted=list(own)) as meter:
        if generator:
            result = _script(engine, orders, rate, generator)
        else:
            result = _loadtest(engine, orders, rate, loadtest)
    result["pss_mb"] = meter.peak
    result["cpu_us"] = {name: seconds * 1e6 / orders for name, seconds in meter.cpu.items()}
    return result


def _script(engine, orders, rate, generator):
    option, sockets = engine.sockets
    command = ["node", generator, "--post", engine.url + engine.post, "--body", engine.body, "--id", engine.id_field,
               option, sockets.format(port=engine.port), "--event-id", "orderId", "--orders", orders,
               "--clients", CLIENTS, *(["--rate", rate] if rate else [])]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    try:
        report = json.loads(ran.stdout)
    except ValueError:
        raise Failed(f"the load generator says: {(ran.stderr or ran.stdout).strip()[-500:]}") from None
    return {
        "accepted": report["accepted"], "completed": report["completed"],
        "confirmed": report["by_status"].get("confirmed", 0), "per_s": report["completed_per_s"],
        "accepted_per_s": report["accepted_per_s"], "post_ms": report["post_ms"], "final_ms": report["final_ms"],
        "generator_us": report["load_generator"]["cpu_s"] * 1e6 / orders,
    }


def _loadtest(engine, orders, rate, binary):
    pace = ["--rate", rate] if rate else ["--clients", CLIENTS]
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [binary, "loadtest", "--config", "localnet", "--url", engine.url, "--orders", orders, "--mix",
                   "SOL/USDC@0.01..0.01", "--audit", 0, "--json", file.name, *pace]
        ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        text = file.read()
    if not text:
        raise Failed(f"swapd loadtest says: {(ran.stderr or ran.stdout).strip()[-500:]}")
    report = json.loads(text)
    spread = lambda of: {key: of[key] / 1000 for key in ("p50", "p90", "p99", "max")}
    return {
        "accepted": report["accepted"], "completed": report["confirmed"] + report["failed"],
        "confirmed": report["confirmed"], "per_s": report["endedPerSecond"],
        "accepted_per_s": report["acceptedPerSecond"], "post_ms": spread(report["seen"]["answered"]),
        "final_ms": spread(report["seen"]["ended"]), "generator_us": report["cpu"]["generatorPerOrder"],
    }
