"""Where a webhook is called: `url` or `service`, as webhook configurations and CustomResourceDefinitions have it (apiserver/pkg/util/webhook)."""

from __future__ import annotations

import binascii
from urllib.parse import urlsplit

from .. import names
from ..fielderrors import FieldErrors, quoted
from ..object import Object

_FORM = "; desired format: https://host[/path]"


def client_config(errors: FieldErrors, config: Object, path: str) -> None:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errors.required(path, "exactly one of url or service is required")
    elif url is not None:
        webhook_url(errors, url, f"{path}.url")
    else:
        webhook_service(errors, service or {}, f"{path}.service")


def webhook_url(errors: FieldErrors, url: str, path: str) -> None:
    if problem := _url_problem(url):
        errors.required(path, f"url must be a valid URL: {problem}{_FORM}")
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    host = parts.netloc.rpartition("@")[2]
    if not host:
        errors.invalid(path, host, f"host must be specified{_FORM}")
    if "@" in parts.netloc:
        errors.invalid(path, parts.netloc.rpartition("@")[0], "user information is not permitted in the URL")
    if parts.fragment:
        errors.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        errors.invalid(path, parts.query, "query parameters are not permitted in the URL")


def _url_problem(url: str) -> str:
    """Of Go's url.Parse, which takes relative ones."""
    from ..cel.values import Url

    try:
        Url.parse(url)
    except ValueError as error:
        why = str(error).partition(": ")[2]
        if not why.endswith((": invalid URI for request", ": empty url")):
            return why
        if ":" in url.partition("/")[0]:
            return f"parse {quoted(url)}: first path segment in URL cannot contain colon"
    return ""


def webhook_service(errors: FieldErrors, service: Object, path: str) -> None:
    for missing, named in (("namespace", "name"), ("name", "namespace")):  # Kubernetes mixes them up
        if not service.get(missing):
            errors.required(f"{path}.{named}")
    port = service.get("port", 443)
    if wrong := names.port_number(port):
        errors.invalid(f"{path}.port", port, f"port is not valid: {','.join(wrong)}")
    given, at = service.get("path"), f"{path}.path"
    if not given or given == "/":
        return
    if given == "//":
        errors.invalid(at, given, "segment[0] may not be empty")
        return
    if not given.startswith("/"):
        errors.invalid(at, given, "must start with a '/'")
    for i, step in enumerate(given[1:].removesuffix("/").split("/")):
        if not step:
            errors.invalid(at, given, f"segment[{i}] may not be empty")
        for wrong_step in names.dns1123_subdomain(step) if step else ():
            errors.invalid(at, given, f"segment[{i}]: {wrong_step}")


def is_bundle(bundle: str) -> bool:
    """`bundle`: base64 of PEM."""
    try:
        return b"-----BEGIN CERTIFICATE-----" in binascii.a2b_base64(bundle)
    except binascii.Error:
        return False


def ca_bundle(errors: FieldErrors, bundle: str, path: str) -> None:
    if not is_bundle(bundle):
        why = "unable to load root certificates: unable to parse bytes as PEM block"
        errors.invalid(path, bundle, why)
