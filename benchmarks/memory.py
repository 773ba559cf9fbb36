"""Memory and threads after a thousand slider moves in a real kernel.

    python benchmarks/memory.py [moves]

The moves are messages of the mixing desk, as in a browser, and every answer and figure is sent and
read. Targets: at most 20 MB more in the kernel after them, no thread more, and none of an
explorer that was closed during a measurement.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from jupyter_client.manager import start_new_kernel
from machine import machine

START = """
import gc, json, os, threading
import gdws_explorer as gx

def used():
    gc.collect()
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

def hand(explorer, moves):
    names = len(explorer.network.names)
    for i in range(moves):
        place, layer, gesture = 0.1 + 0.8 * (i % 37) / 37, i // 40 % names, f"{i // 10}"
        message = {"type": "move", "layer": layer, "values": [place], "gesture": gesture}
        if i % 3 == 0:
            message = {"type": "network", "by": "macs", "value": place, "gesture": gesture}
        elif i % 40 == 1:
            message = {"type": "select", "layer": layer}
        elif i % 40 == 2:
            message = {"type": "method", "layer": layer, "family": ("gdws", "tucker2")[i // 40 % 2]}
        explorer.desk._received(explorer.desk, {**message, "seq": i}, [])

explorer = gx.explore("digits")
hand(explorer, 300)
"""
COUNT = "print(json.dumps([used(), sorted(t.name for t in threading.enumerate())]))"
CLOSE = """
explorer.session.evaluate()
while explorer.session.jobs.running is None: pass
explorer.close()
del explorer
"""


def main() -> int:
    moves = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(machine())
    manager, client = start_new_kernel()
    try:

        def run(code: str) -> Any:
            said: list[str] = []

            def hear(message: dict[str, Any]) -> None:
                if message["msg_type"] == "stream":
                    said.append(message["content"]["text"])

            reply = client.execute_interactive(code, timeout=600, output_hook=hear)
            if reply["content"]["status"] != "ok":
                raise RuntimeError("\n".join(reply["content"]["traceback"]))
            return "".join(said)

        run(START)
        before, threads = json.loads(run(COUNT))
        run(f"hand(explorer, {moves})")
        after, still = json.loads(run(COUNT))
        run(CLOSE)
        closed, left = json.loads(run(COUNT))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    good = after - before <= 20 and still == threads and left == threads
    print(
        f"{moves} moves: {before:.1f} MB before, {after:.1f} after, {after - before:+.1f}; "
        f"at most +20: {'met' if after - before <= 20 else 'MISSED'}"
    )
    print(f"threads: {len(threads)} before, {len(still)} after, {len(left)} after closing")
    print(f"closed during a measurement: {closed:.1f} MB; {'met' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
