#!/usr/bin/env python3
"""Runs every expression of the rules and the dashboards on a Prometheus that scrapes `autotune demo`.

    tests/prometheus/live.py [BINARY]       default: target/debug/autotune, built first

Needs `prometheus`; without it that is said, and nothing is checked. Both processes listen on the loopback alone, and are ended here.
`deploy/prometheus/check.py` says what is asked; it is asked until every expression has series, a minute and a half at most. Exit code
1 if they never have.
"""

import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy/prometheus"
# So long the demo lasts, in seconds, and so long it is asked.
LASTS, PATIENCE = 110, 90
CONFIG = """
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [{rules}]
scrape_configs:
  - job_name: autotune
    static_configs: [{{ targets: ["{target}"] }}]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def begin_demo(binary):
    """The process, and where it serves."""
    # Over the wire, so that there are requests to count.
    command = [binary, "demo", "--wire", "--for", f"{LASTS}s", "--speed", "120", "--listen", "127.0.0.1:0"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in demo.stdout:
        found = re.search(r"http://(127\.0\.0\.1:\d+)/\s*$", line)
        if found:
            return demo, found[1]
    sys.exit(f"the demo ended with {demo.wait()} and told no address")


def watch(binary, folder):
    demo, target = begin_demo(binary)
    prometheus = None
    try:
        rules = ", ".join(str(path) for path in sorted(DEPLOY.glob("*.rules.yml")))
        (folder / "prometheus.yml").write_text(CONFIG.format(rules=rules, target=target))
        address = f"127.0.0.1:{free_port()}"
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        command += [f"--web.listen-address={address}", "--log.level=warn"]
        prometheus = subprocess.Popen(command)
        asked, deadline = None, time.monotonic() + PATIENCE
        while time.monotonic() < deadline and demo.poll() is None and prometheus.poll() is None:
            time.sleep(5)
            asked = subprocess.run([DEPLOY / "check.py", f"http://{address}", "--all"], stdout=subprocess.PIPE, text=True)
            if asked.returncode == 0:
                break
        print(asked.stdout if asked else "", end="")
        for process, what in [(demo, "the demo"), (prometheus, "Prometheus")]:
            if process.poll() is not None:
                print(f"{what} ended by itself with {process.returncode}")
        return asked.returncode if asked else 1
    finally:
        for process in [prometheus, demo]:
            if process and process.poll() is None:
                process.terminate()
        demo.stdout.close()
        for process in [prometheus, demo]:
            if process:
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def main():
    if not shutil.which("prometheus"):
        print("tests/prometheus: nothing is asked of a real Prometheus: none is installed; on Debian and Ubuntu: apt-get install prometheus")
        return 0
    if len(sys.argv) < 2:
        # As the tests build it: another way would compile all of the SDK once more.
        build = ["cargo", "test", "--quiet", "--no-run", "--test", "page"]
        subprocess.run(build, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    binary = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/autotune"
    with tempfile.TemporaryDirectory(prefix="autotune-prometheus-") as folder:
        return watch(binary, pathlib.Path(folder))


if __name__ == "__main__":
    sys.exit(main())
