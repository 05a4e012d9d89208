"""Pages that come through a proxy subresource: their links are made to go through it too (apimachinery's util/proxy.Transport).

Every start tag is written anew, as Go's tokenizer prints it (lower case, values in double quotes); the rest stays as it is.
"""

from __future__ import annotations

import html
import posixpath
import re
from urllib.parse import urlsplit

_ATTRIBUTES = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
_RAW_TEXT = frozenset("iframe noembed noframes plaintext script style title textarea xmp".split())
_TAG = re.compile(
    r"""<!--.*?-->|<[!/?][^>]*>|<([a-zA-Z][^\s/>]*)((?:[^"'>]|"[^"]*"|'[^']*')*?)(/?)>""", re.DOTALL
)
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")


def rewrite_url(url: str, prefix: str, hosts: tuple[str, ...]) -> str:
    """A path of the same host, behind `prefix`; what leads elsewhere, or is relative, stays."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if (parts.netloc and parts.netloc not in hosts) or not parts.path.startswith("/"):
        return url
    path = parts.path
    if not path.startswith(prefix):
        path = posixpath.normpath(f"{prefix}/{path}") + ("/" if path.endswith("/") else "")
    return parts._replace(scheme="", netloc="", path=path).geturl()


def rewrite_page(page: str, prefix: str, hosts: tuple[str, ...]) -> str:
    out, position = [], 0
    while found := _TAG.search(page, position):
        out.append(page[position : found.start()])
        position = found.end()
        if found[1] is None:
            out.append(found[0])
            continue
        name = found[1].lower()
        out.append(_start_tag(name, found[2], found[3], prefix, hosts))
        if name in _RAW_TEXT and not found[3]:
            end = re.compile(f"</{name}", re.IGNORECASE).search(page, position)
            stop = end.start() if end else len(page)
            out.append(page[position:stop])
            position = stop
    return "".join([*out, page[position:]])


def _start_tag(name: str, attributes: str, slash: str, prefix: str, hosts: tuple[str, ...]) -> str:
    shown = [name]
    for attribute in _ATTRIBUTE.finditer(attributes):
        key = attribute[1].lower()
        value = html.unescape(next((v for v in attribute.group(2, 3, 4) if v is not None), ""))
        if key in _ATTRIBUTES.get(name, ()):
            value = rewrite_url(value, prefix, hosts)
        escaped = html.escape(value).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
        shown.append(f'{key}="{escaped}"')
    return f"<{' '.join(shown)}{slash}>"
