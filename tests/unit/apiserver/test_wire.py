"""Answers that the recordings do not show, as Kubernetes 1.36's source has them: a request, its code, and what its message says."""

import base64
from urllib.parse import quote

import orjson
import pytest
import yaml

from pilothouse.api.selectors import SelectorError, parse_fields, parse_labels
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.negotiation import negotiate
from pilothouse.apiserver.request import Request
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def server():
    server = ApiServer(MemoryStore(), VirtualClock(), Random(1), ApiConfig(tokens={"t": ADMIN}))
    await server.start()
    client = LocalClient(server, ADMIN)
    for name in "abc":
        await client.create("configmaps", {"metadata": {"name": name, "namespace": "default"}})
    yield server
    await server.stop()


async def ask(server, line, body=None, **headers):
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    sent = {"authorization": "Bearer t", **{k.replace("_", "-"): v for k, v in headers.items()}}
    data = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
    if data:
        sent.setdefault("content-type", "application/json")
    answer = server.handle(Request(method, path, query, sent, data))
    return answer if hasattr(answer, "status") else await answer


def message(answer):
    try:
        return orjson.loads(answer.body).get("message", "")
    except orjson.JSONDecodeError:
        return answer.body.decode()


LABELS = [
    ("a,,b", "found ',', expected: identifier after ','"),
    (",a", "found ',', expected: !, identifier, or 'end of string'"),
    ("!a=b", "found '=', expected: ',' or 'end of string'"),
    ("a gt 5", "unable to parse requirement: found 'gt', expected: in, notin, =, ==, !=, gt, lt"),
    ("a>", "unable to parse requirement: values[0]: Invalid value: \"\": for 'Gt', 'Lt' operators,"),
    ("a>x-", 'unable to parse requirement: [values[0]: Invalid value: "x-": for '),
    ("a in (b,-c)", 'unable to parse requirement: values[0][a]: Invalid value: "-c": a valid label '),
    ("a in (b,=)", "unable to parse requirement: found '=', expected: ',', or identifier"),
    ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
    ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
    ("a in", "unable to parse requirement: found '' expected: '('"),
]


@pytest.mark.parametrize(("text", "why"), LABELS)
def test_a_label_selector_that_is_none(text, why):
    with pytest.raises(SelectorError) as refused:
        parse_labels(text)
    assert str(refused.value).startswith(why)


def test_label_selectors_with_odd_values():
    assert [r.values for r in parse_labels("a in (,b), c notin (), d in (in,notin), e==in,!in")] == [
        ("", "b"),
        ("",),
        ("in", "notin"),
        ("in",),
        (),
    ]
    number = parse_labels("n>4")[0]
    assert [number.holds({"n": text}) for text in ("5", "1_0", "4", "99999999999999999999")] == [
        True,
        False,
        False,
        False,
    ]


FIELDS = [
    ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ("a=b\\c", "invalid field selector: invalid escape sequence: \\c"),
    ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ("c,a=1", "invalid selector: 'c,a=1'; can't understand 'c'"),
]


@pytest.mark.parametrize(("text", "why"), FIELDS)
def test_a_field_selector_that_is_none(text, why):
    with pytest.raises(SelectorError) as refused:
        parse_fields(text)
    assert str(refused.value) == why


def test_what_a_backslash_hides_in_a_field_selector():
    assert [(r.field, r.operator, r.value) for r in parse_fields(r"b!=x\,y\=z\\,,a==1")] == [
        ("a", "=", "1"),
        ("b", "!=", "x,y=z\\"),
    ]


def token(**value):
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


V1 = {"v": "meta.k8s.io/v1"}
FUTURE = "resourceVersion=999999"
BAD_CONTINUE = "invalid continue token: continue key is not valid"
REFUSED = [
    ("GET /api/v1/namespaces?fieldSelector=name%3Da", 400, "field label not supported: name"),
    ("GET /apis/batch/v1/jobs?fieldSelector=x%3D1", 400, 'field label "x" not supported for Job'),
    (
        "GET /apis/resource.k8s.io/v1/resourceslices?fieldSelector=x%3D1",
        400,
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: x",
    ),
    (
        "GET /apis/events.k8s.io/v1/events?fieldSelector=involvedObject.name%3Da",
        400,
        "field label not supported: involvedObject.name",
    ),
    (
        f"GET {MAPS.replace('v1', 'v1/watch')}/a?fieldSelector=metadata.name%3Db",
        400,
        "fieldSelector metadata.name doesn't match requested name",
    ),
    (f"GET {MAPS}/a?resourceVersion=x", 500, 'resourceVersion: Invalid value: "x": strconv.ParseUint: '),
    (f"GET {MAPS}/a?{FUTURE}", 504, "Timeout: Too large resource version: 999999, current: "),
    (
        f"GET {MAPS}/a?export=true",
        400,
        "the export parameter, deprecated since v1.14, is no longer supported",
    ),
    (
        f"GET {MAPS}?continue={token(v='v2')}",
        400,
        f"{BAD_CONTINUE}: server does not recognize this encoded version v2",
    ),
    (
        f"GET {MAPS}?continue={token(**V1, rv=5)}",
        400,
        f"{BAD_CONTINUE}: encoded start key empty (version meta.",
    ),
    (f"GET {MAPS}?continue={token(**V1, rv=5, start='../a')}", 400, f"{BAD_CONTINUE}: ../a"),
    (
        f"GET {MAPS}?continue={token(**V1, rv=5, start='a')}&{FUTURE}",
        400,
        "specifying resource version is not allowed when using continue",
    ),
    (
        f"GET {MAPS}?watch=1&resourceVersionMatch=Exact",
        422,
        'ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for '
        'watch unless sendInitialEvents is provided, resourceVersionMatch: Unsupported value: "Exact": supported',
    ),
    (
        f"GET {MAPS}?sendInitialEvents=1&resourceVersionMatch=Exact",
        422,
        'ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden '
        "unless resourceVersion is provided, sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list]",
    ),
    ("POST /version", 405, "the server does not allow this method on the requested resource"),
    ("POST /apis/apps/v1", 405, "the server does not allow this method on the requested resource"),
    ("GET /livez/", 404, "404 page not found"),
    ("GET /openapi/v3/api/v1/", 404, ""),
]


@pytest.mark.parametrize(("line", "code", "why"), REFUSED, ids=[line for line, _, _ in REFUSED])
async def test_a_request_is_refused(server, line, code, why):
    answer = await ask(server, line)
    assert answer.status == code
    assert message(answer).startswith(why)


async def test_a_watch_as_a_table_of_what_there_is_not(server):
    answer = await ask(server, f"GET {MAPS}?watch=1&includeObject=All", accept=TABLE)
    assert (answer.status, message(answer)[:42]) == (400, "Unable to convert to Table as requested: i")


async def test_pages_are_cut_but_not_of_a_list_from_the_cache(server):
    first = orjson.loads((await ask(server, f"GET {MAPS}?limit=2")).body)
    assert [o["metadata"]["name"] for o in first["items"]] == ["a", "b"]
    rest = await ask(server, f"GET {MAPS}?limit=2&continue={first['metadata']['continue']}")
    assert [o["metadata"]["name"] for o in orjson.loads(rest.body)["items"]] == ["c"]
    whole = orjson.loads((await ask(server, f"GET {MAPS}?limit=2&resourceVersion=0")).body)
    assert len(whole["items"]) == 3 and "continue" not in whole["metadata"]
    now = orjson.loads((await ask(server, f"GET {MAPS}?continue={token(**V1, rv=-1, start='b')}")).body)
    assert [o["metadata"]["name"] for o in now["items"]] == ["b", "c"]


async def test_a_namespace_is_no_field_of_some_cluster_wide_kinds_only(server):
    found = await ask(server, f"GET /api/v1/persistentvolumes?fieldSelector={quote('metadata.namespace=a')}")
    assert orjson.loads(found.body)["items"] == []
    refused = await ask(server, f"GET /api/v1/nodes?fieldSelector={quote('metadata.namespace=a')}")
    assert refused.status == 400


async def test_openapi_documents_are_kept_by_hash(server):
    index = orjson.loads((await ask(server, "GET /openapi/v3")).body)["paths"]
    url = index["version"]["serverRelativeURL"]
    answer = await ask(server, f"GET {url}")
    etag = dict(answer.headers)["Etag"]
    assert url.endswith(f"?hash={etag.strip(chr(34))}")
    assert (await ask(server, f"GET {url}", if_none_match=etag)).status == 304
    moved = await ask(server, "GET /openapi/v3/version?hash=OLD")
    assert (moved.status, dict(moved.headers)["Location"]) == (301, url)
    assert (await ask(server, "GET /openapi/v3/version", accept="text/html")).status == 406


async def test_health_checks_can_be_left_out(server):
    lines = (await ask(server, "GET /livez?verbose&exclude=etcd&exclude=x")).body.decode().splitlines()
    assert lines[0] == "[+]ping ok" and "[+]etcd excluded: ok" in lines
    assert lines[-2:] == [
        'warn: some health checks cannot be excluded: no matches for "x"',
        "livez check passed",
    ]


MEDIA = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
ONLY = "only the following media types are accepted: application/json"
ROUTES = "406: Not Acceptable\n\nAvailable representations: "
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("line", "accept", "why"),
    [
        (f"GET {MAPS}/a", "application/*", f"{ROUTES}{MEDIA}"),
        (f"GET {MAPS}", "text/html", f"{ROUTES}{MEDIA}, application/json;stream=watch"),
        (f"GET {MAPS}", "application/json;v=v1", ONLY),
        (f"GET {MAPS}?watch=1", "application/yaml", f"{ONLY};stream=watch"),
        (f"GET {MAPS}", METADATA, "you requested PartialObjectMetadata, but the req"),
        ("GET /version", "application/yaml", f"{ROUTES}application/json"),
        ("GET /apis/apps", "APPLICATION/JSON", ONLY),
        ("GET /api/v1/namespaces/default/pods/p/log", "text/html", f"{ROUTES}text/plain, {MEDIA}"),
        (
            "POST /api/v1/namespaces/default/pods/p/eviction",
            TABLE,
            f"{ONLY}, application/yaml",
        ),
    ],
)
async def test_an_answer_that_the_client_does_not_take(server, line, accept, why):
    answer = await ask(server, line, accept=accept)
    assert answer.status == 406
    assert yaml.safe_load(answer.body)["message"].startswith(why)


def test_the_best_of_an_accept_header_is_found_as_goautoneg_does():
    def media(accept):
        return negotiate(accept).media.removeprefix("application/")

    assert media("*/*,application/yaml") == "yaml"
    assert media("application/json;q=0") == "json"
    assert media("application/json;q=x,application/yaml;q=0.1") == "yaml"
    assert media("application/yaml/x,application/json") == "json"
    assert not negotiate(f"application/yaml;as=Nope;v=v1;g=meta.k8s.io,{TABLE}").plain


OPTIONS_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"
STORED = (
    "StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/a, ResourceVersion: 0, "
    "AdditionalErrorMsg: Precondition failed: UID in precondition: x, UID in object meta: "
)


@pytest.mark.parametrize(
    ("line", "body", "code", "why"),
    [
        (
            f"DELETE {MAPS}/a",
            {"gracePeriodSeconds": "x"},
            400,
            "json: cannot unmarshal string into Go struct",
        ),
        (f"DELETE {MAPS}/a", {"kind": "Foo"}, 400, f'in scheme "{OPTIONS_SCHEME}"'),
        (f"DELETE {MAPS}/a", [], 400, 'json:\\"apiVersion,omitempty\\"'),
        (f"DELETE {MAPS}/a", {"propagationPolicy": ""}, 422, 'propagationPolicy: Unsupported value: ""'),
        (f"DELETE {MAPS}?continue=x", None, 400, "invalid continue token"),
        (
            f"DELETE {MAPS}?resourceVersionMatch=Exact",
            None,
            422,
            "forbidden unless resourceVersion is provided",
        ),
        (
            f"PUT {MAPS}/a",
            {"metadata": {}},
            400,
            "(a based on URL) was undeterminable: name must be provided",
        ),
        (f"PUT {MAPS}/a", {"metadata": {"name": "a", "uid": "x"}}, 409, STORED),
        (f"PUT {MAPS}/a", {"metadata": {"name": "a", "namespace": "b"}}, 400, "the provided object does not"),
        (f"PUT {MAPS}/a?fieldManager=%07", {"metadata": {"name": "a"}}, 422, 'Invalid value: "\\a": invalid'),
        (f"POST {MAPS}", {"metadata": {"name": "n", "resourceVersion": "0"}}, 201, ""),
        (
            f"POST {MAPS}",
            {
                "metadata": {
                    "name": "n",
                    "ownerReferences": [{"apiVersion": "a/b/c", "kind": "K", "name": "n", "uid": "u"}],
                }
            },
            422,
            'metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty',
        ),
    ],
)
async def test_a_write_is_refused(server, line, body, code, why):
    answer = await ask(server, line, body)
    assert answer.status == code
    assert why in message(answer)


async def test_what_came_of_a_patch_must_say_its_version(server):
    answer = await ask(
        server,
        f"PATCH {MAPS}/a",
        {"apiVersion": None, "data": {"k": "v"}},
        content_type="application/merge-patch+json",
    )
    assert answer.status == 400
    warnings = [value for name, value in answer.headers if name == "Warning"]
    assert warnings == [
        '299 - "unknown field \\"data\\""',
        '299 - "unknown field \\"metadata\\""',
    ]


POD = 'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal '
MAP = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
LAYOUT = "2006-01-02T15:04:05Z07:00"
OTHER = "the API version in the data (extensions/v1beta1) does not match the expected API version (apps/v1)"


@pytest.mark.parametrize(
    ("what", "body", "why"),
    [
        ("pods", {"spec": {"volumes": [{"secret": "x"}]}}, "Volume.spec.volumes.VolumeSource.secret of type"),
        (
            "pods",
            {"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": {}}}}]}},
            f"{POD}object into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32",
        ),
        (
            "configmaps",
            {"metadata": {"creationTimestamp": 5}},
            "ObjectMeta.metadata.creationTimestamp of type",
        ),
        (
            "configmaps",
            {"metadata": {"creationTimestamp": "2020-01-01"}},
            f'{MAP}parsing time "2020-01-01" as "{LAYOUT}": cannot parse "" as "T"',
        ),
        (
            "configmaps",
            {"kind": "List", "apiVersion": "v1"},
            "converting (v1.List) to (core.ConfigMap): unkn",
        ),
        ("configmaps", b"nul", "invalid character ' ' in literal null (expecting 'l') (6e756c)"),
        (
            "configmaps",
            b"[]",
            'into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty',
        ),
    ],
)
async def test_a_body_is_no_object(server, what, body, why):
    answer = await ask(server, f"POST /api/v1/namespaces/default/{what}", body)
    assert answer.status == 400
    assert why in message(answer)


async def test_a_version_that_is_served_no_more_is_known(server):
    deployment = {
        "apiVersion": "extensions/v1beta1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
    }
    answer = await ask(server, "POST /apis/apps/v1/namespaces/default/deployments", deployment)
    assert (answer.status, message(answer)) == (400, OTHER)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"a: b: c\n", "yaml: mapping values are not allowed in this context"),
        (b"metadata:\n  name: x\n name: y\n", "yaml: line 2: did not find expected key"),
        (b"a: *x\n", "yaml: unknown anchor 'x' referenced"),
    ],
)
async def test_yaml_is_refused_where_go_yaml_does(server, text, why):
    answer = await ask(server, f"POST {MAPS}", text, content_type="application/yaml")
    assert answer.status == 400
    assert why in message(answer)


async def test_text_that_is_no_unicode_is_mended(server):
    answer = await ask(
        server, f"POST {MAPS}", b'{"metadata":{"name":"u"},"data":{"a":"\\ud800x\\\\ud800","b":"\xff"}}'
    )
    assert orjson.loads(answer.body)["data"] == {"a": "\ufffdx\\ud800", "b": "\ufffd"}


async def test_a_key_that_yaml_has_twice_is_warned_of_by_line(server):
    text = b"metadata:\n  name: y\n  name: z\ndata:\n  k: a\n  k: b\n"
    answer = await ask(server, f"POST {MAPS}", text, content_type="application/yaml")
    warnings = [value for name, value in answer.headers if name == "Warning"]
    assert warnings == [
        '299 - "line 3: key \\"name\\" already set in map"',
        '299 - "line 6: key \\"k\\" already set in map"',
    ]


@pytest.mark.parametrize(
    ("query", "body", "why"),
    [
        (
            "",
            {"spec": {"replicas": "x"}},
            "cannot unmarshal string into Go struct field ScaleSpec.spec.replicas",
        ),
        ("?fieldValidation=Strict", {"spec": {"foo": 1}}, 'strict decoding error: unknown field "spec.foo"'),
    ],
)
async def test_a_patch_of_a_scale_must_make_a_scale(server, query, body, why):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    await ask(server, f"POST {path}", {"metadata": {"name": "d"}, "spec": spec})
    merge = "application/merge-patch+json"
    answer = await ask(server, f"PATCH {path}/d/scale{query}", body, content_type=merge)
    assert answer.status == 422
    assert why in message(answer)


async def test_a_resize_owns_even_what_it_cannot_change(server):
    pods = "/api/v1/namespaces/default/pods"
    spec = {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "i"}]}
    await ask(server, "POST /api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    await ask(server, f"POST {pods}", {"metadata": {"name": "p"}, "spec": spec})
    patch = {"spec": {"containers": [{"name": "c", "image": "j"}]}}
    strategic = "application/strategic-merge-patch+json"
    for door in ("ephemeralcontainers", "resize"):
        answer = await ask(
            server, f"PATCH {pods}/p/{door}?fieldManager={door}", patch, content_type=strategic
        )
        pod = orjson.loads(answer.body)
        assert pod["spec"]["containers"][0]["image"] == "i"
        owned = {e.get("subresource"): e["fieldsV1"] for e in pod["metadata"]["managedFields"]}
        if door == "ephemeralcontainers":
            assert owned[door] == {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:image": {}}}}}


async def test_a_status_that_cannot_change_metadata_does_not_own_it(server):
    path = "/apis/networking.k8s.io/v1/servicecidrs"
    await ask(server, f"POST {path}", {"metadata": {"name": "s"}, "spec": {"cidrs": ["10.9.0.0/24"]}})
    patch = {"metadata": {"labels": {"a": "b"}}}
    merge = "application/merge-patch+json"
    answer = await ask(server, f"PATCH {path}/s/status?fieldManager=m", patch, content_type=merge)
    entries = orjson.loads(answer.body)["metadata"].get("managedFields") or []
    assert "m" not in [entry["manager"] for entry in entries]


@pytest.mark.parametrize(
    ("line", "body", "code", "why"),
    [
        (
            "POST pods/p/binding",
            {"target": {"name": "n"}},
            400,
            "name in URL does not match name in Binding obj",
        ),
        (
            "POST pods/p/binding",
            {"metadata": {"name": "p", "namespace": "x"}},
            400,
            "the namespace of the prov",
        ),
        (
            "POST pods/p/eviction?dryRun=All",
            {"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["x"]}},
            500,
            "Non-matching dry-run options in request and content: [All] and [x]",
        ),
        (
            "POST pods/p/eviction",
            {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}},
            404,
            'pods "p" not found',
        ),
        ("GET pods/p/log?sinceTime=x", None, 400, 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot'),
        ("GET pods/p/log?stream=All", None, 422, "stream: Forbidden: may not be specified"),
        (
            "POST pods/p/portforward?ports=x",
            None,
            400,
            "cannot convert to []int32: strconv.ParseUint: parsing",
        ),
        ("GET pods/ftp:p:80/proxy/", None, 400, 'invalid pod request "ftp:p:80"'),
    ],
)
async def test_a_subresource_refuses(server, line, body, code, why):
    method, _, rest = line.partition(" ")
    answer = await ask(server, f"{method} /api/v1/namespaces/default/{rest}", body)
    assert answer.status == code
    assert why in message(answer)


async def test_jobs_that_are_deleted_together_are_warned_of_too(server):
    path = "/apis/batch/v1/namespaces/default/jobs"
    for query, count in (("", 1), ("?propagationPolicy=Background", 0)):
        answer = await ask(server, f"DELETE {path}{query}")
        warnings = [value for name, value in answer.headers if name == "Warning"]
        assert len(warnings) == count


async def test_discovery_in_one_document_can_be_kept(server):
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    answer = await ask(server, "GET /apis", accept=accept)
    headers = dict(answer.headers)
    assert headers["Cache-Control"] == "public"
    again = await ask(server, "GET /apis", accept=accept, if_none_match=headers["Etag"])
    assert (again.status, again.body) == (304, b"")
