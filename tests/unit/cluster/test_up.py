"""`up`, `stop`, `delete` and bad luck, with real daemons but without nodes: the life of a control plane."""

import asyncio
import errno
import json
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pilothouse.base.clock import RealClock
from pilothouse.cli import cluster_kubeconfig, cluster_list, cluster_token
from pilothouse.cli.connection import Connection, Target
from pilothouse.cli.errors import Failure
from pilothouse.cluster import manage
from pilothouse.cluster.config import ClusterConfig, ConfigError
from pilothouse.cluster.kubeconfig import KubeconfigError

CLOCK = RealClock()


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("PILOTHOUSE_HOME", str(home))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield home
    for paths in manage.clusters():
        manage.delete(paths, CLOCK, print)
    assert list(tmp_path.iterdir()) == [], "something is left behind"


def up(name="one", given=(), **options):
    config = ClusterConfig(name=name, nodes=0, **options)
    return manage.up(config, {"nodes", *options, *given}, CLOCK, print)


def ask(name, question):
    async def main():
        async with Connection(Target(cluster=name)) as connection:
            return await question(connection.client)

    return asyncio.run(main())


def create_namespace():
    ask("one", lambda client: client.create("namespaces", {"metadata": {"name": "kept"}}))


def is_kept():
    return ask("one", lambda client: client.get("namespaces", "", "kept"))["metadata"]["name"] == "kept"


def test_what_was_stored_is_there_after_stop_and_up(home):
    config = up()
    paths = manage.find("one")
    create_namespace()
    manage.stop(paths, CLOCK, print)
    assert manage.daemon_pid(paths) == 0
    assert up().port == config.port
    assert is_kept()


def test_a_stopped_cluster_is_said_where_its_server_is_missed(home):
    up()
    manage.stop(manage.find("one"), CLOCK, print)
    with pytest.raises(Failure, match="was refused - .*\n.*'one' is stopped: `pilothouse up one` starts it"):
        create_namespace()


def test_the_admins_token_and_kubeconfig_open_the_cluster(home):
    config = up()
    token = CliRunner().invoke(cluster_token.command, ["one"]).output.strip()
    printed = yaml.safe_load(CliRunner().invoke(cluster_kubeconfig.command, ["one"]).output)
    assert printed["current-context"] == "pilothouse-one"

    async def main():
        target = Target(server=f"https://127.0.0.1:{config.port}", token=token, cluster="one")
        async with Connection(target) as connection:
            return await connection.client.list("namespaces")

    assert len(asyncio.run(main()).items) >= 4


def test_several_clusters_at_once(home):
    assert up("one").port != up("two").port
    assert [paths.name for paths in manage.clusters()] == ["one", "two"]
    manage.delete(manage.find("one"), CLOCK, print)
    assert [paths.name for paths in manage.clusters()] == ["two"]


def test_a_second_up_says_that_the_cluster_runs(home):
    up()
    with pytest.raises(manage.ClusterError, match="'one' is already running .*pilothouse status one"):
        up()


def test_two_commands_at_once_do_not_disturb_each_other(home):
    up()
    paths = manage.find("one")
    manage.stop(paths, CLOCK, print)
    said = []

    def progress(text):  # the first `up` is under way now
        with pytest.raises(
            manage.ClusterError, match="another command starts, stops or deletes|is already running"
        ):
            up()
        with pytest.raises(manage.ClusterError, match="another command starts, stops or deletes"):
            manage.delete(paths, CLOCK, print)
        said.append(text)

    manage.up(ClusterConfig(name="one", nodes=0), set(), CLOCK, progress)
    assert said and manage.daemon_pid(paths)


def test_an_interrupted_up_leaves_nothing(home):
    def progress(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        manage.up(ClusterConfig(name="one", nodes=0), set(), CLOCK, progress)
    assert manage.clusters() == []


def test_a_kubeconfig_that_cannot_be_read_is_said_first(home, tmp_path):
    (tmp_path / "kubeconfig").write_text("{")
    with pytest.raises(KubeconfigError, match="cannot read .*kubeconfig"):
        up()
    assert manage.clusters() == []
    (tmp_path / "kubeconfig").unlink()


def test_a_data_directory_with_other_files_in_it_is_refused(home, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    with pytest.raises(manage.ClusterError, match="holds other files"):
        up(data_dir=str(mine))
    with pytest.raises(manage.ClusterError, match="letter.txt is no directory"):
        up(data_dir=str(mine / "letter.txt"))
    (mine / "letter.txt").unlink()
    mine.rmdir()


def test_a_port_in_use_leaves_nothing(home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(manage.ClusterError, match=f"port {port} on 127.0.0.1 is in use .*--port"):
            up(port=port)
    assert manage.clusters() == []


def test_an_address_of_another_machine_leaves_nothing(home):
    with pytest.raises(manage.ClusterError, match="this machine has no address 192.0.2.1; `--host`"):
        up(host="192.0.2.1")
    assert manage.clusters() == []


def test_the_api_server_on_ipv6(home):
    assert up(host="::1").server.startswith("https://[::1]:")
    create_namespace()
    assert is_kept()


def test_a_killed_daemon_loses_nothing_that_was_acknowledged(home):
    up()
    paths = manage.find("one")
    create_namespace()
    pid = manage.daemon_pid(paths)
    os.kill(pid, signal.SIGKILL)
    while manage.daemon_pid(paths):
        pass
    up()
    assert manage.daemon_pid(paths) not in (0, pid)
    assert is_kept()


def test_a_directory_of_a_newer_version_is_left_alone(home):
    up()
    paths = manage.find("one")
    manage.stop(paths, CLOCK, print)
    document = json.loads(paths.config.read_text())
    paths.config.write_text(json.dumps({**document, "version": 99}))
    with pytest.raises(ConfigError, match="was made by a newer Pilothouse .format 99.*upgrade"):
        up()
    assert paths.store.exists()
    paths.config.write_text(json.dumps(document))


def test_a_damaged_configuration_is_said_and_can_be_deleted(home):
    up()
    paths = manage.find("one")
    manage.stop(paths, CLOCK, print)
    paths.config.write_text("{")
    with pytest.raises(ConfigError, match="cluster.json is damaged .*pilothouse delete"):
        up()
    assert "unknown" in CliRunner().invoke(cluster_list.command).output
    up("two")  # another one does not mind
    manage.delete(paths, CLOCK, print)
    assert [paths.name for paths in manage.clusters()] == ["two"]


def test_a_cluster_whose_directory_was_deleted_by_hand_ends(home, monkeypatch):
    port = up().port
    shutil.rmtree(manage.find("one").data)
    deadline = CLOCK.monotonic() + 20
    while CLOCK.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)):
                break
    else:
        raise AssertionError("it still answers")
    up()  # the kubeconfig's entries are of this one now


def test_a_disk_that_is_full_leaves_nothing(home, monkeypatch):
    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ClusterConfig, "save", full)
    with pytest.raises(manage.ClusterError, match="cannot write .*cluster.json: No space left on device"):
        up()
    assert not (home / "clusters" / "one").exists()
    (home / "clusters").rmdir()
    home.rmdir()


def test_a_data_directory_of_ones_own(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    up(data_dir="elsewhere")
    assert manage.find("one").data == tmp_path / "elsewhere"
    with pytest.raises(manage.ClusterError, match="is the directory of another cluster, 'one'"):
        up("two", data_dir="elsewhere")
    with pytest.raises(manage.ClusterError, match="'one' already, with its data in .*/elsewhere"):
        up(data_dir="somewhere")
    manage.delete(manage.find("one"), CLOCK, print)
    assert not Path("elsewhere").exists()
    up(data_dir="elsewhere")
    shutil.rmtree("elsewhere")
    up(data_dir="somewhere")
    assert manage.find("one").data == tmp_path / "somewhere"


def test_what_would_leave_something_behind_cannot_be_changed(home):
    manage.up(ClusterConfig(name="one", engine="simulated"), set(), CLOCK, print)
    manage.stop(manage.find("one"), CLOCK, print)
    for option in ({"store": "memory"}, {"engine": "containerd"}):
        with pytest.raises(manage.ClusterError, match="was made with --.* and keeps it; .*delete one"):
            manage.up(ClusterConfig(name="one", **option), set(option), CLOCK, print)


def test_a_machine_without_an_engine_says_what_to_install(home, monkeypatch):
    from pilothouse.runtime import containerd_process

    monkeypatch.setattr(containerd_process, "program", lambda name: None if name == "runc" else name)
    config = ClusterConfig(name="one")
    with pytest.raises(manage.ClusterError, match=r"apt-get install .* runc\n.*--engine simulated"):
        manage.up(config, set(), CLOCK, print)
    assert manage.clusters() == []


@pytest.mark.parametrize(
    "options, why",
    [
        ({"name": "No_Name"}, "is no name for a cluster"),
        ({"nodes": 101}, "--nodes must be 0 to 100"),
        ({"port": 99999}, "--port must be 0 .* to 65535"),
        ({"host": "foo.bar"}, "--host must be an IP address of this machine"),
        ({"engine": "docker"}, "--engine must be one of auto"),
        ({"disable": ("kubelet",)}, "--disable knows controllers"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(options, why):
    with pytest.raises(ConfigError, match=why):
        ClusterConfig(**options).check()
