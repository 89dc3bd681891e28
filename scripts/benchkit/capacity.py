"""Capacity: from what an order costs to what a fleet for a given rate needs, and which part is full first."""

TARGET = 10_000

# How each part gives more: by more processes, or not.
SCALES = {
    "api": "more api processes",
    "workers": "more worker processes",
    "postgres": "not by processes: writers take turns",
    "redis": "not by processes: one thread",
}


def parts(cpu_us):
    """Processor time of an order by part, microseconds; all workers are one part."""
    found = {}
    for process, each in cpu_us.items():
        part = "workers" if process.startswith("worker") else process
        if part in SCALES:
            found[part] = found.get(part, 0) + each
    return found


def table(cpu_us, target=TARGET):
    """What `target` orders a second would take. What does not scale by processes is full at one processor's worth."""
    lines = [f"| part | CPU per order | processors at {target:,} orders/s | grows by | full at |", "|---|---|---|---|---|"]
    for part, each in parts(cpu_us).items():
        full = f"{1e6 / each:,.0f} orders/s" if each and SCALES[part].startswith("not") else ""
        lines.append(f"| {part} | {each:.0f} µs | {each * target / 1e6:.1f} | {SCALES[part]} | {full} |")
    return "\n".join(lines)
