"""Whether an AuthenticationConfiguration is sound (apiserver/pkg/apis/apiserver/validation)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..api.fielderrors import FieldErrors
from ..api.names import dns1123_subdomain
from ..api.object import Object

if TYPE_CHECKING:
    from ..api.cel import Program

ISSUERS_MAX = 64
EGRESS = ("controlplane", "cluster")
EMAIL_NEEDS_VERIFIED = (
    "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or "
    "claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
)


def check(configuration: Object, disallowed: Iterable[str] = ()) -> FieldErrors:
    """`disallowed`: issuers of our own."""
    errors = FieldErrors()
    entries = configuration.get("jwt") or []
    if len(entries) > ISSUERS_MAX:
        errors.too_many("jwt", len(entries), ISSUERS_MAX)
        return errors
    urls, discoveries = set[str](), set[str]()
    for index, entry in enumerate(entries):
        path, issuer = f"jwt[{index}]", entry.get("issuer") or {}
        _issuer(errors, f"{path}.issuer", issuer, list(disallowed))
        _Expressions(errors).check(entry, path)
        _once(errors, f"{path}.issuer.url", issuer.get("url") or "", urls)
        if issuer.get("discoveryURL"):
            _once(errors, f"{path}.issuer.discoveryURL", issuer["discoveryURL"], discoveries)
    anonymous = configuration.get("anonymous")
    if anonymous is not None and not anonymous.get("enabled") and anonymous.get("conditions"):
        shown = [{"Path": condition.get("path", "")} for condition in anonymous["conditions"]]
        errors.invalid(
            "anonymous.conditions", shown, "enabled should be set to true when conditions are defined"
        )
    return errors


def _once(errors: FieldErrors, path: str, value: str, seen: set[str]) -> bool:
    if value in seen:
        errors.duplicate(path, value)
        return False
    seen.add(value)
    return True


def _issuer(errors: FieldErrors, path: str, issuer: Object, disallowed: list[str]) -> None:
    url, discovery = issuer.get("url") or "", issuer.get("discoveryURL") or ""
    local = bool(issuer.get("jwksFile"))  # ours: nobody is asked over the network then
    if not url:
        errors.required(f"{path}.url")
    else:
        _url(errors, f"{path}.url", url, disallowed, any_scheme=local)
    if discovery:
        if url and url.rstrip("/") == discovery.rstrip("/"):
            errors.invalid(f"{path}.discoveryURL", discovery, "discoveryURL must be different from URL")
        _url(errors, f"{path}.discoveryURL", discovery, [])
    _audiences(errors, path, issuer.get("audiences") or [], issuer.get("audienceMatchPolicy") or "")
    if authority := issuer.get("certificateAuthority"):
        if "-----BEGIN CERTIFICATE-----" not in authority:
            why = "data does not contain any valid RSA or ECDSA certificates"
            errors.invalid(f"{path}.certificateAuthority", "<omitted>", why)
    egress = issuer.get("egressSelectorType") or ""
    if egress and egress not in EGRESS:
        errors.invalid(
            f"{path}.egressSelectorType", egress, "egress selector must be either controlplane or cluster"
        )


def _url(errors: FieldErrors, path: str, url: str, disallowed: list[str], any_scheme: bool = False) -> None:
    if url in disallowed:
        told = f"URL must not overlap with disallowed issuers: [{' '.join(sorted(disallowed))}]"
        errors.invalid(path, url, told)
    try:
        parsed = urlsplit(url)
    except ValueError as error:
        errors.invalid(path, url, str(error))
        return
    if parsed.scheme != "https" and not any_scheme:
        errors.invalid(path, url, "URL scheme must be https")
    for found, what in (
        (parsed.username is not None, "username or password"),
        (parsed.query, "query"),
        (parsed.fragment, "fragment"),
    ):
        if found:
            errors.invalid(path, url, f"URL must not contain a {what}")


def _audiences(errors: FieldErrors, path: str, audiences: list[str], policy: str) -> None:
    where = f"{path}.audiences"
    if not audiences:
        errors.required(where, f"at least one {where} is required")
        return
    seen = set[str]()
    for index, audience in enumerate(audiences):
        if not audience:
            errors.required(f"{where}[{index}]")
        _once(errors, f"{where}[{index}]", audience, seen)
    if policy != "MatchAny" and (policy or len(audiences) > 1):
        one = len(audiences) == 1
        why = "empty or MatchAny for single audience" if one else "MatchAny for multiple audiences"
        errors.invalid(f"{path}.audienceMatchPolicy", policy, f"audienceMatchPolicy must be {why}")


@dataclass
class _Expressions:
    """What maps and asks claims, of one issuer."""

    errors: FieldErrors
    email: bool = False
    email_verified: bool = False

    def check(self, entry: Object, path: str) -> None:
        self._claim_rules(entry.get("claimValidationRules") or (), f"{path}.claimValidationRules")
        self._mappings(entry.get("claimMappings") or {}, f"{path}.claimMappings")
        seen = set[str]()
        for index, rule in enumerate(entry.get("userValidationRules") or ()):
            where, expression = f"{path}.userValidationRules[{index}].expression", rule.get("expression")
            if not expression:
                self.errors.required(where)
            elif _once(self.errors, where, expression, seen):
                self._compile(expression, where, "user", must_be_bool=True)

    def _claim_rules(self, rules: Iterable[Object], path: str) -> None:
        claims, expressions = set[str](), set[str]()
        for index, rule in enumerate(rules):
            where = f"{path}[{index}]"
            claim, expression = rule.get("claim") or "", rule.get("expression") or ""
            if claim and expression:
                self.errors.invalid(where, claim, "claim and expression can't both be set")
            elif not claim and not expression:
                self.errors.required(where, "claim or expression is required")
            elif claim:
                if rule.get("message"):
                    why = "may not be specified when claim is set"
                    self.errors.invalid(f"{where}.message", rule["message"], why)
                _once(self.errors, f"{where}.claim", claim, claims)
            else:
                if rule.get("requiredValue"):
                    why = "may not be specified when expression is set"
                    self.errors.invalid(f"{where}.requiredValue", rule["requiredValue"], why)
                if _once(self.errors, f"{where}.expression", expression, expressions):
                    program = self._compile(expression, f"{where}.expression", "claims", must_be_bool=True)
                    self.email_verified |= program is not None and reads(program.tree, "email_verified")

    def _mappings(self, mappings: Object, path: str) -> None:
        username = mappings.get("username") or {}
        program = self._prefixed(username, f"{path}.username", required=True)
        if program is not None:
            self.email = reads(program.tree, "email")
            self.email_verified |= reads(program.tree, "email_verified")
        self._prefixed(mappings.get("groups") or {}, f"{path}.groups", required=False)
        uid = mappings.get("uid") or {}
        if uid.get("claim") and uid.get("expression"):
            self.errors.invalid(f"{path}.uid", "", "claim and expression can't both be set")
        elif uid.get("expression"):
            self._compile(uid["expression"], f"{path}.uid.expression", "claims")
        keys = set[str]()
        for index, extra in enumerate(mappings.get("extra") or ()):
            where, key = f"{path}.extra[{index}]", extra.get("key") or ""
            self._key(key, f"{where}.key")
            if not _once(self.errors, f"{where}.key", key, keys):
                continue
            if not extra.get("valueExpression"):
                self.errors.required(f"{where}.valueExpression")
                continue
            program = self._compile(extra["valueExpression"], f"{where}.valueExpression", "claims")
            self.email_verified |= program is not None and reads(program.tree, "email_verified")
        if self.email and not self.email_verified:
            where = f"{path}.username.expression"
            self.errors.invalid(where, username.get("expression") or "", EMAIL_NEEDS_VERIFIED)

    def _key(self, key: str, path: str) -> None:
        host, slash, rest = key.partition("/")
        if not key:
            self.errors.required(path)
        elif not slash or not host or not rest:
            self.errors.invalid(path, key, 'must be a domain-prefixed path (such as "acme.io/foo")')
        else:
            self.errors.messages(path, host, dns1123_subdomain(host))
        if key != key.lower():
            self.errors.invalid(path, key, "must be lowercase")
        if slash and f".{host}".endswith((".kubernetes.io", ".k8s.io")):
            why = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
            self.errors.invalid(path, key, why)

    def _prefixed(self, mapping: Object, path: str, *, required: bool) -> Program | None:
        claim, expression = mapping.get("claim") or "", mapping.get("expression") or ""
        prefix: Any = mapping.get("prefix")
        if claim and expression:
            self.errors.invalid(path, "", "claim and expression can't both be set")
        elif expression:
            before = len(self.errors)
            if prefix is not None:
                self.errors.invalid(f"{path}.prefix", prefix, "may not be specified when expression is set")
            program = self._compile(expression, f"{path}.expression", "claims")
            return program if len(self.errors) == before else None
        elif claim:
            if prefix is None:
                why = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
                self.errors.required(f"{path}.prefix", why)
        elif required:
            self.errors.required(path, "claim or expression is required")
        return None

    def _compile(
        self, expression: str, path: str, variable: str, *, must_be_bool: bool = False
    ) -> Program | None:
        from ..api.cel import CompileError
        from ..api.cel.types import BOOL

        try:
            program = compiled(expression, variable)
        except CompileError as error:
            self.errors.invalid(path, expression, f"compilation failed: {error}")
            return None
        if must_be_bool and program.type != BOOL:
            self.errors.invalid(path, expression, "must evaluate to bool")
            return None
        return program


def compiled(expression: str, variable: str) -> Program:
    """Over `claims` or `user`. Raises CompileError."""
    from ..api import cel
    from ..api.cel.types import DYN, STRING, Field, Type, list_of, map_of

    if variable == "claims":
        return cel.compile(expression, {"claims": map_of(STRING, DYN)})
    strings = list_of(STRING)
    types = {"username": STRING, "uid": STRING, "groups": strings, "extra": map_of(STRING, strings)}
    members = {name: Field(type_, name) for name, type_ in types.items()}
    return cel.compile(expression, {"user": Type("kubernetes.UserInfo", fields=members)})


def reads(tree: Any, claim: str) -> bool:
    """Whether an expression has `claims.<claim>`, or `claims.?<claim>`."""
    from ..api.cel.syntax import Call, Const, Expr, Ident, Select

    def of_claims(expr: Any) -> bool:
        return isinstance(expr, Ident) and expr.name == "claims"

    todo: list[Any] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, Select) and node.name == claim and of_claims(node.operand):
            return True
        if isinstance(node, Call) and node.function == "_?._" and of_claims(node.args[0]):
            if isinstance(node.args[1], Const) and node.args[1].value == claim:
                return True
        if isinstance(node, Expr):
            todo += [getattr(node, each.name) for each in fields(node)]
        elif isinstance(node, (list, tuple)):
            todo += node
    return False


def problem(errors: FieldErrors) -> str:
    """All of them, as `ToAggregate` says them."""
    told = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in errors))
    return told[0] if len(told) == 1 else f"[{', '.join(told)}]"
