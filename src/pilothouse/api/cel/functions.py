"""The signatures of CEL's functions and operators, and of the libraries that Kubernetes 1.36 adds: one line each.

`name: type.(args) -> result` is a member, `name: (args) -> result` a global function; several forms are separated by `|`. Capital letters are
type parameters; `L<T>`, `M<K,V>`, `O<T>` and `T<T>` are lists, maps, optionals and types.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from .types import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, NULL, STRING, TIMESTAMP, UINT, Type, opaque


@dataclass(frozen=True, slots=True)
class Overload:
    function: str
    member: bool
    params: tuple[Type, ...]
    result: Type


URL, IP, CIDR = opaque("kubernetes.URL"), opaque("net.IP"), opaque("net.CIDR")
QUANTITY, SEMVER, FORMAT = (
    opaque("kubernetes.Quantity"),
    opaque("kubernetes.Semver"),
    opaque("kubernetes.NamedFormat"),
)
_AUTHZ = "kubernetes.authorization"
AUTHORIZER = opaque(f"{_AUTHZ}.Authorizer")

OPAQUE = {
    "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES, "null": NULL, "dyn": DYN,
    "time": TIMESTAMP, "dur": DURATION, "url": URL, "ip": IP, "cidr": CIDR, "quantity": QUANTITY, "semver": SEMVER,
    "format": FORMAT, "authz": AUTHORIZER, "path": opaque(f"{_AUTHZ}.PathCheck"), "group": opaque(f"{_AUTHZ}.GroupCheck"),
    "resource": opaque(f"{_AUTHZ}.ResourceCheck"), "decision": opaque(f"{_AUTHZ}.Decision"),
}  # fmt: skip
_GENERIC = {"L": "list", "M": "map", "O": "optional_type", "T": "type"}
_COMPARED = (
    "(bool,bool)->bool | (string,string)->bool | (bytes,bytes)->bool | (time,time)->bool | (dur,dur)->bool | "
    + " | ".join(f"({a},{b})->bool" for a in ("int", "uint", "double") for b in ("int", "uint", "double"))
)
_SUMMED = "L<int>.()->int | L<uint>.()->uint | L<double>.()->double | L<dur>.()->dur"
_ZONED = "time.()->int | time.(string)->int"
_SORTED = ("int", "uint", "double", "bool", "dur", "time", "string", "bytes")
_EXTREMES = " | ".join(f"L<{t}>.()->{t}" for t in _SORTED)
_EACH_BOOL = " | ".join(f"L<{t}>.()->bool" for t in _SORTED)
_SORTED_BY = " | ".join(f"L<A>.(L<{t}>)->L<A>" for t in _SORTED)
_EACH_SORTED = " | ".join(f"L<{t}>.()->L<{t}>" for t in _SORTED)

_TABLE = f"""
_==_: (A,A)->bool
_!=_: (A,A)->bool
_<_: {_COMPARED}
_<=_: {_COMPARED}
_>_: {_COMPARED}
_>=_: {_COMPARED}
_+_: (int,int)->int | (uint,uint)->uint | (double,double)->double | (string,string)->string | (bytes,bytes)->bytes | (L<A>,L<A>)->L<A> | (dur,dur)->dur | (dur,time)->time | (time,dur)->time
_-_: (int,int)->int | (uint,uint)->uint | (double,double)->double | (time,time)->dur | (time,dur)->time | (dur,dur)->dur
_*_: (int,int)->int | (uint,uint)->uint | (double,double)->double
_/_: (int,int)->int | (uint,uint)->uint | (double,double)->double
_%_: (int,int)->int | (uint,uint)->uint
-_: (int)->int | (double)->double
!_: (bool)->bool
_&&_: (bool,bool)->bool
_||_: (bool,bool)->bool
_?_:_: (bool,A,A)->A
_[_]: (L<A>,int)->A | (M<A,B>,A)->B | (O<L<A>>,int)->O<A> | (O<M<A,B>>,A)->O<B>
_[?_]: (L<A>,int)->O<A> | (M<A,B>,A)->O<B> | (O<L<A>>,int)->O<A> | (O<M<A,B>>,A)->O<B>
@in: (A,L<A>)->bool | (A,M<A,B>)->bool
@not_strictly_false: (bool)->bool
cel.@mapInsert: (M<A,B>,A,B)->M<A,B> | (M<A,B>,M<A,B>)->M<A,B>
size: (string)->int | (bytes)->int | (L<A>)->int | (M<A,B>)->int | string.()->int | bytes.()->int | L<A>.()->int | M<A,B>.()->int
int: (int)->int | (uint)->int | (double)->int | (string)->int | (time)->int
uint: (uint)->uint | (int)->uint | (double)->uint | (string)->uint
double: (double)->double | (int)->double | (uint)->double | (string)->double
string: (string)->string | (bool)->string | (int)->string | (uint)->string | (double)->string | (bytes)->string | (time)->string | (dur)->string | (ip)->string | (cidr)->string
bytes: (bytes)->bytes | (string)->bytes
bool: (bool)->bool | (string)->bool
timestamp: (time)->time | (string)->time | (int)->time
duration: (dur)->dur | (string)->dur | (int)->dur
dyn: (A)->dyn
type: (A)->T<A>
contains: string.(string)->bool
startsWith: string.(string)->bool
endsWith: string.(string)->bool
matches: string.(string)->bool | (string,string)->bool
getFullYear: {_ZONED}
getMonth: {_ZONED}
getDate: {_ZONED}
getDayOfMonth: {_ZONED}
getDayOfWeek: {_ZONED}
getDayOfYear: {_ZONED}
getHours: {_ZONED} | dur.()->int
getMinutes: {_ZONED} | dur.()->int
getSeconds: {_ZONED} | dur.()->int
getMilliseconds: {_ZONED} | dur.()->int
charAt: string.(int)->string
indexOf: string.(string)->int | string.(string,int)->int | L<A>.(A)->int
lastIndexOf: string.(string)->int | string.(string,int)->int | L<A>.(A)->int
join: L<string>.()->string | L<string>.(string)->string
lowerAscii: string.()->string
upperAscii: string.()->string
replace: string.(string,string)->string | string.(string,string,int)->string
split: string.(string)->L<string> | string.(string,int)->L<string>
substring: string.(int)->string | string.(int,int)->string
trim: string.()->string
format: string.(L<dyn>)->string
strings.quote: (string)->string
find: string.(string)->string
findAll: string.(string)->L<string> | string.(string,int)->L<string>
isSorted: {_EACH_BOOL}
sum: {_SUMMED}
min: {_EXTREMES}
max: {_EXTREMES}
slice: L<A>.(int,int)->L<A>
flatten: L<L<A>>.()->L<A> | L<dyn>.(int)->L<dyn>
distinct: L<A>.()->L<A>
reverse: L<A>.()->L<A>
sort: {_EACH_SORTED}
first: L<A>.()->O<A>
last: L<A>.()->O<A>
lists.range: (int)->L<int>
@sortByAssociatedKeys: {_SORTED_BY}
sets.contains: (L<A>,L<A>)->bool
sets.equivalent: (L<A>,L<A>)->bool
sets.intersects: (L<A>,L<A>)->bool
optional.of: (A)->O<A>
optional.ofNonZeroValue: (A)->O<A>
optional.none: ()->O<A>
hasValue: O<A>.()->bool
value: O<A>.()->A | format.()->string
or: O<A>.(O<A>)->O<A>
orValue: O<A>.(A)->A
url: (string)->url
isURL: (string)->bool
getScheme: url.()->string
getHost: url.()->string
getHostname: url.()->string
getPort: url.()->string
getEscapedPath: url.()->string
getQuery: url.()->M<string,L<string>>
ip: (string)->ip | cidr.()->ip
isIP: (string)->bool
ip.isCanonical: (string)->bool
family: ip.()->int
isUnspecified: ip.()->bool
isLoopback: ip.()->bool
isLinkLocalMulticast: ip.()->bool
isLinkLocalUnicast: ip.()->bool
isGlobalUnicast: ip.()->bool
cidr: (string)->cidr
isCIDR: (string)->bool
containsIP: cidr.(string)->bool | cidr.(ip)->bool
containsCIDR: cidr.(string)->bool | cidr.(cidr)->bool
masked: cidr.()->cidr
prefixLength: cidr.()->int
quantity: (string)->quantity
isQuantity: (string)->bool
isInteger: quantity.()->bool
asInteger: quantity.()->int
asApproximateFloat: quantity.()->double
sign: (quantity)->int
add: quantity.(quantity)->quantity | quantity.(int)->quantity
sub: quantity.(quantity)->quantity | quantity.(int)->quantity
isGreaterThan: quantity.(quantity)->bool | semver.(semver)->bool
isLessThan: quantity.(quantity)->bool | semver.(semver)->bool
compareTo: quantity.(quantity)->int | semver.(semver)->int
semver: (string)->semver | (string,bool)->semver
isSemver: (string)->bool | (string,bool)->bool
major: semver.()->int
minor: semver.()->int
patch: semver.()->int
format.named: (string)->O<format>
format.dns1123Label: ()->format
format.dns1123Subdomain: ()->format
format.dns1035Label: ()->format
format.qualifiedName: ()->format
format.dns1123LabelPrefix: ()->format
format.dns1123SubdomainPrefix: ()->format
format.dns1035LabelPrefix: ()->format
format.labelValue: ()->format
format.uri: ()->format
format.uuid: ()->format
format.byte: ()->format
format.date: ()->format
format.datetime: ()->format
validate: format.(string)->O<L<string>>
jsonpatch.escapeKey: (string)->string
path: authz.(string)->path
group: authz.(string)->group
serviceAccount: authz.(string,string)->authz
resource: group.(string)->resource
subresource: resource.(string)->resource
namespace: resource.(string)->resource
name: resource.(string)->resource
fieldSelector: resource.(string)->resource
labelSelector: resource.(string)->resource
check: path.(string)->decision | resource.(string)->decision
allowed: decision.()->bool
reason: decision.()->string
errored: decision.()->bool
error: decision.()->string
"""


@functools.cache
def overloads() -> dict[str, tuple[Overload, ...]]:
    found = {}
    for line in _TABLE.strip().split("\n"):
        name, _, forms = line.partition(": ")
        found[name] = tuple(_overload(name, form.strip()) for form in forms.split(" | "))
    return found


def _overload(name: str, form: str) -> Overload:
    signature, result = form.rsplit("->", 1)
    target, member, _ = signature.partition(".(")
    args = signature[len(target) + 2 : -1] if member else signature[1:-1]
    params = [_type(part) for part in _split(args)]
    if member:
        params.insert(0, _type(target))
    return Overload(name, bool(member), tuple(params), _type(result))


def _split(text: str) -> list[str]:
    """At commas outside of angle brackets."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "<") - (char == ">")
        if char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]] if text else []


@functools.cache
def _type(text: str) -> Type:
    if text.endswith(">"):
        name, _, inner = text.partition("<")
        return Type(_GENERIC[name], tuple(_type(part) for part in _split(inner[:-1])))
    return OPAQUE[text] if text in OPAQUE else Type(text, param=True)


TYPE_NAMES: dict[str, Type] = {
    **{str(type_): type_ for type_ in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, DYN)},
    "null_type": NULL,
    "type": Type("type", (DYN,)),
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION,
    "list": Type("list", (DYN,)),
    "map": Type("map", (DYN, DYN)),
    "optional_type": Type("optional_type", (DYN,)),
    **{type_.name: type_ for type_ in (IP, CIDR)},
}
"""What names of types mean in an expression."""
