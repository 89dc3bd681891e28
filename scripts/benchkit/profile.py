"""Profile: where a daemon spends its processor time, by `perf`."""

import shutil
import signal
import subprocess
import time

from .stage import say


def record(process, folder, work):
    """Records `process` while `work` runs; leaves perf's data and a list of the costliest functions in `folder`."""
    perf = shutil.which("perf")
    if not perf:
        say("no profile: there is no perf on this machine (Debian: linux-perf)")
        return
    data, text = folder / f"{process.name}.data", folder / f"{process.name}.txt"
    recorder = subprocess.Popen([perf, "record", "-q", "-F", "199", "--call-graph", "dwarf,8192", "-p", str(process.pid),
                                 "-o", str(data)], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        work()
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
    listed = subprocess.run([perf, "report", "-i", str(data), "--stdio", "--no-children", "-g", "none", "--percent-limit",
                             "0.3"], capture_output=True, text=True)
    text.write_text(listed.stdout)
    say(f"profile: {text}; `perf report -i {data}` has the call chains")
