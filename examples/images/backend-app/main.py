"""The note's backend: HTTP on port 8080, with /health, and a graceful end on SIGTERM.

`/` says the version, the Pod, and which settings are there (never their values). On SIGTERM it goes on accepting until
nobody comes any more, finishes what it has begun, and exits 0. Only small modules of the standard library are used: they
are in Debian's python3-minimal, and start quickly with a quarter of a core.
"""

import os
import select
import signal
import socket
import threading

VERSION = os.environ["APP_VERSION"]
PORT = int(os.environ.get("PORT", "8080"))
SETTINGS = ("DB_URL", "DB_USERNAME", "DB_PASSWORD")
CONNECTIONS_MAX = 64
HEAD_BYTES_MAX = 16384
IDLE_S = 5.0  # a kept connection without a request
QUIET_S = 0.2  # so long nobody connects after SIGTERM: then the listener closes
DRAIN_S = 20.0

stopping = threading.Event()
places = threading.BoundedSemaphore(CONNECTIONS_MAX)


def body(method: str, path: str) -> tuple[str, str]:
    if method not in ("GET", "HEAD"):
        return "405 Method Not Allowed", "only GET\n"
    if path == "/health":
        return "200 OK", "ok\n"
    if path == "/":
        settings = " ".join(f"{name}={'set' if os.environ.get(name) else 'missing'}" for name in SETTINGS)
        return "200 OK", f"{VERSION} backend-app pod={socket.gethostname()} {settings}\n"
    return "404 Not Found", "no such page\n"


def read_head(connection: socket.socket) -> bytes:
    """The next request's head; b"" when the client has gone or is idle for too long."""
    head = b""
    while b"\r\n\r\n" not in head:
        if not head and stopping.is_set() and not select.select([connection], [], [], 0)[0]:
            return b""  # an idle connection ends with the program
        if not select.select([connection], [], [], IDLE_S if head else 0.1)[0]:
            if head:
                return b""
            continue
        chunk = connection.recv(4096)
        if not chunk or len(head) > HEAD_BYTES_MAX:
            return b""
        head += chunk
    return head


def serve(connection: socket.socket) -> None:
    try:
        with connection:
            connection.settimeout(IDLE_S)
            while head := read_head(connection):
                request, _, headers = head.decode("latin-1").partition("\r\n")
                method, path = [*request.split(" "), "", ""][:2]
                status, text = body(method, path.split("?")[0])
                last = stopping.is_set() or "connection: close" in headers.lower() or "HTTP/1.0" in request
                connection.sendall(
                    (
                        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
                        f"Connection: {'close' if last else 'keep-alive'}\r\n\r\n{'' if method == 'HEAD' else text}"
                    ).encode()
                )
                if path != "/health":
                    print(method, path, status, flush=True)
                if last:
                    return
    except OSError as error:
        print("connection lost:", error, flush=True)
    finally:
        places.release()


def main() -> None:
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    listener = socket.create_server(("", PORT), backlog=256)
    listener.setblocking(False)
    print(f"backend-app {VERSION} listens on port {PORT}", flush=True)
    while True:
        ready = select.select([listener, woken], [], [], QUIET_S if stopping.is_set() else None)[0]
        if woken in ready:
            woken.recv(64)
        if listener in ready:
            places.acquire()
            try:
                connection, _ = listener.accept()
            except OSError:
                places.release()
                continue
            connection.setblocking(True)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()
        elif stopping.is_set() and not ready:
            break
    listener.close()
    print("stopping: finishing the requests in flight", flush=True)
    deadline = threading.Timer(DRAIN_S, os._exit, [1])
    deadline.daemon = True
    deadline.start()
    for _ in range(CONNECTIONS_MAX):
        places.acquire()
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
