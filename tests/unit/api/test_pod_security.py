"""Pod Security Standards: labels, levels, versions."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api.pod_security import BASELINE, RESTRICTED, Level, policy_of, violations

DOMAIN = "pod-security.kubernetes.io/"
GOOD = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def reasons(level: Level, own: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    container = {"name": "c", "securityContext": own or {}}
    return [v.reason for v in violations(level, {}, {"containers": [container], **spec})]


def test_enforcing_warns_too_unless_asked_otherwise() -> None:
    policy, _ = policy_of({f"{DOMAIN}enforce": "baseline", f"{DOMAIN}enforce-version": "v1.20"})
    assert policy.warn == policy.enforce == Level(BASELINE, 20)
    quiet, _ = policy_of({f"{DOMAIN}enforce": "baseline", f"{DOMAIN}warn": "privileged"})
    assert quiet.warn.name == "privileged"


def test_labels_that_make_no_sense_are_named_and_count_as_strictest() -> None:
    policy, causes = policy_of({f"{DOMAIN}enforce": "strict", f"{DOMAIN}audit-version": "1.2"})
    assert policy.enforce.name == RESTRICTED and policy.warn.name == "privileged"
    assert [cause.field for cause in causes] == [
        f"metadata.labels[{DOMAIN}enforce]",
        f"metadata.labels[{DOMAIN}audit-version]",
    ]


@pytest.mark.parametrize(
    ("own", "spec", "reason"),
    [
        ({"privileged": True}, {}, "privileged"),
        ({"capabilities": {"add": ["NET_ADMIN"]}}, {}, "non-default capabilities"),
        ({"procMount": "Unmasked"}, {}, "procMount"),
        ({"seLinuxOptions": {"type": "x"}}, {}, "seLinuxOptions"),
        ({}, {"hostPID": True}, "host namespaces"),
        ({}, {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "hostPath volumes"),
        ({}, {"securityContext": {"sysctls": [{"name": "a.b"}]}}, "forbidden sysctls"),
        ({}, {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccompProfile"),
    ],
)
def test_baseline(own: dict[str, Any], spec: dict[str, Any], reason: str) -> None:
    assert reasons(Level(BASELINE), own, **spec) == [reason]
    assert reasons(Level(), own, **spec) == []


def test_restricted_asks_for_more_with_every_version() -> None:
    assert reasons(Level(RESTRICTED, 0)) == ["runAsNonRoot != true"]
    assert reasons(Level(RESTRICTED, 18)) == ["allowPrivilegeEscalation != false", "runAsNonRoot != true"]
    assert reasons(Level(RESTRICTED)) == [
        "allowPrivilegeEscalation != false",
        "unrestricted capabilities",
        "runAsNonRoot != true",
        "seccompProfile",
    ]
    pod = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert reasons(Level(RESTRICTED), GOOD, securityContext=pod) == []


def test_windows_and_user_namespaces_are_excused_from_what_they_do_not_have() -> None:
    assert reasons(Level(RESTRICTED), os={"name": "windows"}) == ["runAsNonRoot != true"]
    assert "runAsNonRoot != true" not in reasons(Level(RESTRICTED), hostUsers=False)
    assert reasons(Level(BASELINE), {"procMount": "Unmasked"}, hostUsers=False) == []
    assert reasons(Level(BASELINE, 34), {"procMount": "Unmasked"}, hostUsers=False) == ["procMount"]


def test_details_name_who_and_what() -> None:
    found = violations(Level(BASELINE), {}, {"initContainers": [{"name": "i", "securityContext": {"privileged": True}}], "containers": [{"name": "c", "securityContext": {"privileged": True}}]})  # fmt: skip
    assert [str(v) for v in found] == [
        'privileged (containers "i", "c" must not set securityContext.privileged=true)'
    ]
