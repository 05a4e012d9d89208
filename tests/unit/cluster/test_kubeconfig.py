"""The context `pilothouse-NAME` in the user's kubeconfig: merged in, taken out, everything else untouched."""

import os

import pytest
import yaml

from pilothouse.cluster import kubeconfig

OURS = kubeconfig.document("dev", "https://127.0.0.1:6443", "Y2E=", "Y2VydA==", "a2V5")
OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {"colors": True},
    "clusters": [{"name": "prod", "cluster": {"server": "https://prod"}}],
    "users": [{"name": "prod", "user": {"token": "t"}}],
    "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "prod"}}],
    "current-context": "prod",
}


def test_a_new_file_is_private_and_chooses_the_cluster(tmp_path):
    path = tmp_path / "kube" / "config"
    kubeconfig.add(path, OURS)
    assert yaml.safe_load(path.read_text()) == OURS
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["config"]


def test_other_entries_stay_as_they_are(tmp_path):
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHERS))
    kubeconfig.add(path, OURS)
    kubeconfig.add(path, OURS)  # again: replaced, not doubled
    merged = kubeconfig.read(path)
    assert [entry["name"] for entry in merged["contexts"]] == ["prod", "pilothouse-dev"]
    assert merged["preferences"] == {"colors": True}
    kubeconfig.remove(path, "dev")
    assert kubeconfig.read(path) == {**OTHERS, "current-context": ""}


def test_a_file_with_nothing_else_in_it_goes(tmp_path):
    path = tmp_path / "config"
    kubeconfig.add(path, OURS)
    kubeconfig.remove(path, "dev")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_kubeconfig_is_not_touched(tmp_path):
    path = tmp_path / "config"
    path.write_text("- just\n- a list\n")
    with pytest.raises(kubeconfig.KubeconfigError, match="is not a kubeconfig"):
        kubeconfig.add(path, OURS)
    assert path.read_text() == "- just\n- a list\n"


@pytest.mark.parametrize("text", ["contexts: x", "users: [a]", "- a"])
def test_what_is_no_kubeconfig_is_said(tmp_path, text):
    (tmp_path / "config").write_text(text)
    with pytest.raises(kubeconfig.KubeconfigError, match="config is not a kubeconfig"):
        kubeconfig.read(tmp_path / "config")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_user(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1234, 1234)
    path = home / ".kube" / "config"
    for _ in "made", "replaced":
        kubeconfig.add(path, kubeconfig.document("one", "https://127.0.0.1:1", "", "", ""))
        assert {(file.stat().st_uid, file.stat().st_gid) for file in (path, path.parent)} == {(1234, 1234)}
