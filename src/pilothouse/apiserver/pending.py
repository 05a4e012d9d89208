"""Stand-ins for api modules that are being written; goes away with the last of them."""

from __future__ import annotations

from typing import Any

try:
    from ..api.defaults import apply_defaults
except ImportError:

    def apply_defaults(kind: Any, obj: Any) -> None: ...


try:
    from ..api.tables import columns, row
except ImportError:

    def columns(kind: Any) -> list[Any]:
        return [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]

    def row(kind: Any, obj: Any, now: float) -> list[Any]:
        return [obj["metadata"]["name"]]


try:
    from ..api import patch as patching
except ImportError:

    class patching:  # type: ignore[no-redef]
        @staticmethod
        def parse_json_patch(body: bytes) -> Any:
            raise NotImplementedError

        @staticmethod
        def merge_patch(obj: Any, patch: Any) -> Any:
            if not isinstance(patch, dict):
                return patch
            new = dict(obj) if isinstance(obj, dict) else {}
            for key, value in patch.items():
                if value is None:
                    new.pop(key, None)
                else:
                    new[key] = patching.merge_patch(new.get(key), value)
            return new

        @staticmethod
        def strategic_merge_patch(type_: Any, obj: Any, patch: Any) -> Any:
            return patching.merge_patch(obj, patch)
