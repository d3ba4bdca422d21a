"""Conditional reading: strong entity tags and If-None-Match (RFC 9110, sections 8.8.3 and 13.1.2)."""

import hashlib

from fastapi import Request
from fastapi.responses import Response


def entity_tag(*parts: object) -> str:
    """A strong tag: different whenever one of the parts is."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
    return f'"{digest[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether the caller has what the tag names."""
    given = request.headers.get("if-none-match", "")
    tags = {one.strip().removeprefix("W/") for one in given.split(",")}
    return tag in tags or "*" in tags


def not_modified(headers: dict[str, str]) -> Response:
    """304, with the headers that the whole answer would have had."""
    return Response(status_code=304, headers=headers)
