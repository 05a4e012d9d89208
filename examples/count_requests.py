"""Asks a URL again and again until SIGTERM, and says how many answers came and how many did not. For the demo."""

import signal
import sys
import time
import urllib.request

asked = failed = 0
versions: dict[str, int] = {}
running = True


def stop(*_: object) -> None:
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
deadline = time.monotonic() + 300
while running and time.monotonic() < deadline:
    asked += 1
    try:
        with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
            version = answer.read().decode().split()[0]
            versions[version] = versions.get(version, 0) + 1
    except OSError as error:
        failed += 1
        print(f"failed: {error}", flush=True)
    time.sleep(0.005)
answers = ", ".join(f"{count} by {version}" for version, count in sorted(versions.items()))
print(f"{asked} requests, {failed} failed; answered: {answers}")
