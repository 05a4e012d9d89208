"""The cluster's process: `python -m pilothouse.cluster.daemon DATA_DIR READY_FD`.

It says how far it is on READY_FD, one JSON object a line ({"progress": …}, then {"ready": true} or {"error": …}).
SIGTERM ends it; containers go on running then, and are adopted by the next daemon: it is `manage.stop` that ends
them. So an upgrade of Pilothouse, or a crash, costs the applications nothing.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import logging
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ..base import collector
from ..base.clock import Clock, RealClock
from ..base.random import Random
from .config import ClusterConfig, ConfigError
from .paths import ClusterPaths

log = logging.getLogger("pilothouse")

LOOK_EVERY_S = 2.0


class Reporter:
    """The pipe to whoever typed `up`; it may be gone."""

    def __init__(self, descriptor: int):
        self._file: TextIO | None = os.fdopen(descriptor, "w")

    def say(self, **message: object) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(message) + "\n")
            self._file.flush()
        except BrokenPipeError:
            self._file = None

    def close(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except BrokenPipeError:
                pass
            self._file = None


def main() -> int:
    data, reporter = Path(sys.argv[1]), Reporter(int(sys.argv[2]))
    logging.basicConfig(
        level=os.environ.get("PILOTHOUSE_LOG", "INFO").upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    lock = os.open(data / "daemon.pid", os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(lock, False)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        reporter.say(error=f"another daemon holds {data}")
        return 1
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    try:
        config = ClusterConfig.load(data / "cluster.json")
    except (ConfigError, OSError, ValueError) as error:
        reporter.say(error=str(error))
        return 1
    paths = ClusterPaths(config.name, data)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a watcher is a file
    try:
        import uvloop

        loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:
        loop_factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_run(config, paths, reporter))


async def _run(config: ClusterConfig, paths: ClusterPaths, reporter: Reporter) -> int:
    from ..apiserver.audit import AuditError
    from ..apiserver.encryption import EncryptionError
    from ..apiserver.jwt_issuers import IssuerError
    from ..apiserver.token_webhook import WebhookError
    from ..network.shell import CommandFailed
    from ..runtime.interface import EngineError
    from ..store.interface import StoreError
    from .cluster import Cluster

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    clock = RealClock()
    random = Random(config.seed) if config.seed else Random.from_os()

    def progress(text: str) -> None:
        log.info("%s", text)
        reporter.say(progress=text)

    cluster = Cluster(config, paths, clock, random, progress=progress)
    starting, ending = asyncio.create_task(cluster.start()), asyncio.create_task(ended.wait())
    await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # whoever asked for it has changed their mind
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await cluster.stop()
        return 1
    try:
        starting.result()
    except (
        ConfigError,
        AuditError,
        EncryptionError,
        IssuerError,
        WebhookError,
        StoreError,
        EngineError,
        CommandFailed,
        OSError,
    ) as error:
        log.error("the cluster did not start: %s", error)
        reporter.say(error=str(error))
        await cluster.stop()
        return 1
    except BaseException:
        log.exception("the cluster did not start")
        await cluster.stop()
        raise
    collector.settle()
    reporter.say(ready=True)
    reporter.close()
    gone = asyncio.create_task(_deleted_by_hand(paths, clock))
    await asyncio.wait((ending, gone), return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping")
    await cluster.stop()
    if gone.done():  # nobody can delete the cluster any more
        from . import manage

        await manage.teardown(config, paths, progress)
        shutil.rmtree(paths.run, ignore_errors=True)
    return 0


async def _deleted_by_hand(paths: ClusterPaths, clock: Clock) -> None:
    """Returns when the data directory, or what says that it is one, is no longer there. What is still written to it is lost."""
    there = True
    while there:
        await clock.sleep(LOOK_EVERY_S)
        try:
            os.stat(paths.config)
        except OSError as error:  # others: a share that is away for a while
            there = error.errno != errno.ENOENT
    log.error("%s was deleted: this cluster ends", paths.data)


if __name__ == "__main__":
    sys.exit(main())
