"""From a path to what is asked for."""

import pytest

from pilothouse.apiserver.negotiation import negotiate
from pilothouse.apiserver.routes import authorized_name, parse_query, request_info


@pytest.mark.parametrize(
    ("method", "path", "query", "verb", "resource", "namespace", "name", "subresource"),
    [
        ("GET", "/api/v1/namespaces/a/pods/p", "", "get", "pods", "a", "p", ""),
        ("GET", "/api/v1/namespaces/a/pods", "", "list", "pods", "a", "", ""),
        ("GET", "/api/v1/pods", "watch=1", "watch", "pods", "", "", ""),
        ("GET", "/api/v1/pods", "watch=false", "list", "pods", "", "", ""),
        ("GET", "/api/v1/watch/namespaces/a/pods/p", "", "watch", "pods", "a", "p", ""),
        ("DELETE", "/api/v1/namespaces/a/pods", "", "deletecollection", "pods", "a", "", ""),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", "", "create", "pods", "a", "p", "exec"),
        ("GET", "/api/v1/namespaces/a", "", "get", "namespaces", "a", "a", ""),
        ("PUT", "/api/v1/namespaces/a/finalize", "", "update", "namespaces", "a", "a", "finalize"),
        (
            "GET",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "",
            "get",
            "deployments",
            "a",
            "d",
            "scale",
        ),
        ("GET", "/healthz", "", "get", "", "", "", ""),
    ],
)
def test_a_path_says_what_is_asked_for(method, path, query, verb, resource, namespace, name, subresource):
    info = request_info(method, path, parse_query(query))
    assert (info.verb, info.resource, info.namespace, info.name, info.subresource) == (
        verb,
        resource,
        namespace,
        name,
        subresource,
    )


def test_a_list_of_one_object_by_its_name_is_authorized_as_that_object():
    parameters = parse_query("fieldSelector=metadata.name%3Dx")
    info = request_info("GET", "/api/v1/namespaces/a/secrets", parameters)
    assert authorized_name(info, parameters) == "x"


def test_kubectl_gets_a_table_and_who_cannot_read_that_gets_json():
    form = negotiate(
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
    )
    assert (form.as_kind, form.as_version) == ("Table", "v1")
    assert negotiate("application/vnd.kubernetes.protobuf,application/json").plain
