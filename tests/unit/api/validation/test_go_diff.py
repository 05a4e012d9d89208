"""What a message says of the parts of a pod that may not change."""

from pilothouse.api.validation import go_diff

CONTAINER = {"name": "a", "image": "i"}


def test_what_has_changed_is_shown_with_three_lines_around_it():
    new = {**CONTAINER, "workingDir": "/<w>"}
    assert go_diff.of_container(CONTAINER, new) == (
        "@@ -3,7 +3,7 @@\n"
        '  "Image": "i",\n'
        '  "Command": null,\n'
        '  "Args": null,\n'
        '- "WorkingDir": "",\n'
        '+ "WorkingDir": "/\\u003cw\\u003e",\n'
        '  "Ports": null,\n'
        '  "EnvFrom": null,\n'
        '  "Env": null,\n'
    )


def test_what_a_pod_shares_with_its_host_is_in_the_security_context():
    shown = go_diff.of_pod_spec({"hostPID": False}, {"hostPID": True})
    assert '   "HostNetwork": false,\n-  "HostPID": false,\n+  "HostPID": true,\n' in shown


def test_nothing_is_said_of_pods_too_large_to_compare():
    env = [{"name": f"E{n}"} for n in range(1000)]
    old, new = ({"containers": [{**CONTAINER, "env": env, "image": image}]} for image in "ij")
    assert go_diff.of_pod_spec(old, new) == ""
