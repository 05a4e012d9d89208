"""Files from Debian packages, for image layers: downloads packages with what they depend on, and reads their contents."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

from pilothouse.runtime.images import File

# What maintainer scripts need, and a container that never runs them does not.
SKIPPED = re.compile(
    r"(dpkg|debconf|debconf-2\.0|cdebconf|iproute2|gcc-\d+-base|libgcc-s1|media-types|lsb-base)"
)
# Trees that no program reads at run time.
UNREAD = re.compile(r"usr/(share/(doc|man|lintian|vim|apport|bash-completion|binfmts|locale)|lib/binfmt\.d)(/|$)|"
                    r"etc/(init\.d|ufw|logrotate\.d|default)(/|$)|usr/lib/systemd(/|$)|.*/gconv(/|$)")  # fmt: skip
MERGED = ("bin", "sbin", "lib", "lib64")  # merged /usr, whatever the release still ships outside of it


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Packages:
    """These packages and all they depend on, as .deb files in a cache directory: one question to apt for all of them."""

    def __init__(self, names: list[str], cache: Path):
        cache.mkdir(parents=True, exist_ok=True)
        self._cache = cache
        if subprocess.run(["apt-cache", "show", *names], capture_output=True).returncode:
            print("asking Debian for its lists of packages", flush=True)
            run("apt-get", "update", "-qq")
        self._depends = dependencies(run("apt-cache", "depends", "--recurse", "--important", *names))
        wanted = sorted({package for name in names for package in self.closure(name)})
        options = ["-qq", "-o", "APT::Sandbox::User=root"]
        uris = run("apt-get", "download", "--print-uris", *options, *wanted).splitlines()
        files = [line.split()[1] for line in uris if line.startswith("'")]
        self._files = {file.partition("_")[0]: cache / file for file in files}
        if missing := [name for name, file in self._files.items() if not file.exists()]:
            print(f"downloading {len(missing)} packages", flush=True)
            run("apt-get", "download", *options, *missing, cwd=cache)

    def closure(self, name: str) -> list[str]:
        found: list[str] = []
        waiting = [name]
        while waiting:
            package = waiting.pop()
            if package not in found and not SKIPPED.fullmatch(package):
                found.append(package)
                waiting += self._depends.get(package, [])
        return sorted(found)

    def contents(self, name: str, alone: bool = False) -> list[File]:
        """The files of a package, and (unless alone) of what it depends on."""
        return [
            entry
            for package in ([name] if alone else self.closure(name))
            for entry in contents(self._files[package])
        ]


def dependencies(text: str) -> dict[str, list[str]]:
    """From the output of `apt-cache depends`: the first of alternatives, nothing virtual."""
    found: dict[str, list[str]] = {}
    package = ""
    for line in text.splitlines():
        if line[:1] not in " |":
            package = line.partition(":")[0]
            found.setdefault(package, [])
            continue
        kind, _, other = line.strip().partition(": ")
        if kind in ("Depends", "PreDepends") and not other.startswith("<"):
            found[package].append(other.partition(":")[0])
    return found


def contents(package: Path) -> list[File]:
    """A package's files as entries of a layer, below a merged /usr."""
    data = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(package)], check=True, capture_output=True
    ).stdout
    entries = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            path = member.name.removeprefix("./").strip("/")
            if path.split("/")[0] in MERGED:
                path = f"usr/{path}"
            if not path or path in MERGED or UNREAD.match(path):
                continue
            mode = member.mode
            if member.isdir():
                entries.append(File(path, mode=mode))
            elif member.issym():
                entries.append(File(path, link=member.linkname, mode=mode))
            elif member.isfile() or member.islnk():
                file = tar.extractfile(member)
                assert file is not None
                entries.append(File(path, file.read(), mode))
    return entries
