"""Builds the images of the demo and of the tests from Debian's packages: no registry is asked, nothing of this machine is copied.

    python examples/images/build.py --output DIR [--force] [NAME ...]

Writes one archive an image, which `pilothouse image load` takes. The same packages give the same digests. What is there
and was built from the same sources is left alone.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "src")]

import debian  # noqa: E402

from pilothouse.runtime import images  # noqa: E402
from pilothouse.runtime.images import File  # noqa: E402

NOBODY = 65534
PASSWD = f"root:x:0:0:root:/root:/bin/sh\nnobody:x:{NOBODY}:{NOBODY}:nobody:/:/bin/false\n"
GROUP = f"root:x:0:\ntty:x:5:\nnogroup:x:{NOBODY}:\n"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON_UNUSED = ("ensurepip/", "idlelib/", "lib2to3/", "pydoc_data/", "test/", "unittest/", "distutils/")

# Names what a program imports and compiles it, so that a container does not do it at each start.
COMPILE = """
import py_compile, runpy, sys
root, program = sys.argv[1:]
runpy.run_path(root + program, run_name="compiling")
for module in list(sys.modules.values()):
    path = getattr(module, "__file__", None) or ""
    if path.startswith(root) and path.endswith(".py"):
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(path, dfile=path[len(root):], doraise=True, invalidation_mode=mode)
"""


class Builder:
    """Layers that several images share are made once."""

    def __init__(self, cache: Path):
        self._cache = cache
        self._layers: dict[str, bytes] = {}

    @functools.cached_property
    def packages(self) -> debian.Packages:
        return debian.Packages(["busybox-static", "python3-minimal", "nginx"], self._cache)

    def busybox(self, directory: str) -> list[File]:
        """Static busybox, with a link for each of its applets."""
        entries = self.packages.contents("busybox-static", alone=True)
        program = next(entry.data for entry in entries if entry.path.endswith("bin/busybox"))
        assert program is not None
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, "busybox")
            file.write_bytes(program)
            file.chmod(0o755)
            applets = debian.run(str(file), "--list").split()
        links = [File(f"{directory}/{name}", link="busybox") for name in applets if name != "busybox"]
        return [File(f"{directory}/busybox", program, 0o755), *links]

    def layer(self, name: str, make: Callable[[], list[File]]) -> bytes:
        if name not in self._layers:
            self._layers[name] = images.layer(make())
        return self._layers[name]

    def base(self) -> bytes:
        """What a program of Debian needs around it: a merged /usr, busybox's shell, root and nobody."""
        merged = [File(name, link=f"usr/{name}") for name in debian.MERGED]
        return self.layer("base", lambda: [*merged, File("usr/lib64"), *SYSTEM, *self.busybox("usr/bin")])

    def python(self, program: str, environment: dict[str, str]) -> bytes:
        """Debian's python3-minimal, with what `program` imports already compiled."""

        def make() -> list[File]:
            packaged = self.packages.contents("python3-minimal")
            kept = [e for e in packaged if not any(f"/{part}" in f"{e.path}/" for part in PYTHON_UNUSED)]
            return compiled(kept, (HERE / program).read_bytes(), environment)

        return self.layer("python", make)


SYSTEM = [
    File("etc/passwd", PASSWD.encode(), 0o644),
    File("etc/group", GROUP.encode(), 0o644),
    File("root", mode=0o700),
    File("tmp", mode=0o1777),
    File("var/tmp", mode=0o1777),
    File("run"),
]


def compiled(entries: list[File], program: bytes, environment: dict[str, str]) -> list[File]:
    """The entries and the byte code of all that `program` imports, made by the packaged interpreter itself."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name in debian.MERGED:
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for entry in entries:
            path = root / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.link:
                path.symlink_to(entry.link)
            elif entry.data is None:
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(entry.data)
                path.chmod(entry.mode)
        (root / "main.py").write_bytes(program)
        interpreter = next(root.glob("usr/bin/python3.[0-9]*"))
        loader = next(path for path in root.glob("usr/lib*/ld-linux-*") if path.exists())
        libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))
        command = [str(loader), "--library-path", libraries, str(interpreter), "-I", "-S", "-c", COMPILE]
        done = subprocess.run(
            [*command, str(root), "/main.py"], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"compiling for the python image: {done.stderr}")
        made = [File(str(p.relative_to(root)), p.read_bytes(), 0o644) for p in sorted(root.rglob("*.pyc"))]
        return [*entries, *made]


def busybox(b: Builder) -> tuple[list[bytes], dict[str, Any]]:
    """As the one that the recordings of a real cluster were made with: nobody is its only user, and no link is called tar."""
    nobody = File("etc/passwd", b"nobody:x:65534:65534:nobody:/:/bin/false\n", 0o644)

    def files() -> list[File]:
        links = [file for file in b.busybox("bin") if file.path != "bin/tar"]
        return [*links, nobody, File("etc/group", b"", 0o644), File("tmp", mode=0o1777)]

    return [b.layer("busybox", files)], {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]}


def backend_app(b: Builder, version: str) -> tuple[list[bytes], dict[str, Any]]:
    environment = {"APP_VERSION": version}
    program = File("app/main.py", (HERE / "backend-app/main.py").read_bytes(), 0o644)
    config = {
        "Env": [PATH, f"APP_VERSION={version}"],
        "Entrypoint": ["/usr/bin/python3", "-I", "-S", "/app/main.py"],
        "ExposedPorts": {"8080/tcp": {}},
        "WorkingDir": "/",
    }
    layers = [b.base(), b.python("backend-app/main.py", environment), images.layer([program])]
    return layers, config


def batch_app(b: Builder, version: str) -> tuple[list[bytes], dict[str, Any]]:
    script = File("app/run.sh", (HERE / "batch-app/run.sh").read_bytes(), 0o755)
    config = {"Env": [PATH, f"APP_VERSION={version}"], "Entrypoint": ["/app/run.sh"], "WorkingDir": "/"}
    return [b.base(), images.layer([script])], config


def nginx(b: Builder) -> tuple[list[bytes], dict[str, Any]]:
    configuration = File("etc/nginx/nginx.conf", (HERE / "nginx/nginx.conf").read_bytes(), 0o644)
    own = [configuration, File("var/lib/nginx"), File("var/log/nginx")]
    config = {
        "Env": [PATH],
        "Cmd": ["/usr/sbin/nginx"],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",  # nginx: finish what is in flight
    }
    return [b.base(), b.layer("nginx", lambda: b.packages.contents("nginx")), images.layer(own)], config


# archive → (the image's full name, how it is made)
IMAGES: dict[str, tuple[str, Callable[[Builder], tuple[list[bytes], dict[str, Any]]]]] = {
    "busybox": ("docker.io/library/busybox:1", busybox),
    "backend-app-1.1.0": ("docker.io/library/backend-app:1.1.0", lambda b: backend_app(b, "1.1.0")),
    "backend-app-1.2.0": ("docker.io/library/backend-app:1.2.0", lambda b: backend_app(b, "1.2.0")),
    "batch-app-1.0.0": ("docker.io/library/batch-app:1.0.0", lambda b: batch_app(b, "1.0.0")),
    "nginx": ("docker.io/library/nginx:latest", nginx),
}


def sources_digest() -> str:
    """Of everything in this repository that goes into the images."""
    sources = [path for path in sorted(HERE.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    digest = hashlib.sha256()
    for path in [*sources, Path(images.__file__)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(
    output: Path, names: Sequence[str] = (), cache: Path | None = None, force: bool = False
) -> list[Path]:
    """Builds these images (all by default) into `output`; returns the archives."""
    output.mkdir(parents=True, exist_ok=True)
    builder, stamp = Builder(cache or output / ".cache"), sources_digest()
    archives = []
    for name in names or IMAGES:
        archive, stamp_file = output / f"{name}.tar", output / f".{name}.stamp"
        archives.append(archive)
        up_to_date = archive.exists() and stamp_file.exists() and stamp_file.read_text() == stamp
        if up_to_date and not force:
            continue
        tag, make = IMAGES[name]
        layers, config = make(builder)
        unfinished = output / f".{name}.tar.new"
        unfinished.write_bytes(images.image_archive([tag], layers, config))
        unfinished.replace(archive)
        stamp_file.write_text(stamp)
        print(f"built {archive} ({tag}, {archive.stat().st_size / 1e6:.1f} MB)", flush=True)
    return archives


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds the demo's images from Debian's packages.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--force", action="store_true", help="build again what is there")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(IMAGES)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(IMAGES):
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    build(arguments.output, arguments.names, force=arguments.force)


if __name__ == "__main__":
    main()
