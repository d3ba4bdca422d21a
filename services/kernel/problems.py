"""Errors as RFC 9457 problem documents: a rule and what to do, never a value."""

from typing import Any

from services.kernel.errors import ZoeklichtError


class Problem(ZoeklichtError):  # noqa: N818 - the word of RFC 9457
    """An error with an HTTP status.

    `rule` is a stable short name (`four-eyes`), `detail` says what to do next, `extra` adds members.
    """

    status = 500
    title = "Internal error"

    def __init__(
        self, rule: str, detail: str, *, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail
        self.headers = headers or {}
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        return {
            "type": f"urn:zoeklicht:problem:{self.rule}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "rule": self.rule,
            **self.extra,
        }


class BadRequestError(Problem):
    """The request cannot be read."""

    status, title = 400, "The request cannot be read"


class UnauthorizedError(Problem):
    """Nobody we know."""

    status, title = 401, "Who are you?"


class ForbiddenError(Problem):
    """Somebody who may not."""

    status, title = 403, "Not allowed"


class NotFoundError(Problem):
    """There is no such thing, or not for you."""

    status, title = 404, "Not found"


class ConflictError(Problem):
    """A rule of state forbids it now."""

    status, title = 409, "Not possible in this state"


class GoneError(Problem):
    """It was there and will not come back."""

    status, title = 410, "Gone"


class PreconditionFailedError(Problem):
    """Somebody else was faster."""

    status, title = 412, "Changed in the meantime"


class TooLargeError(Problem):
    """The body is over the limit."""

    status, title = 413, "Too large"


class UnsupportedTypeError(Problem):
    """The body is of a type that is not taken here."""

    status, title = 415, "Not of this type"


class InvalidError(Problem):
    """The content is wrong."""

    status, title = 422, "The content is wrong"


class TooManyError(Problem):
    """More calls than are decent."""

    status, title = 429, "Too many calls"


class UnavailableError(Problem):
    """A part that is needed is away."""

    status, title = 503, "Not available now"


def field_errors(errors: Any) -> list[dict[str, str]]:
    """Path and rule of each wrong field, without the value; a field's name is kept only when it is one of ours."""
    items = list(errors)
    # A key of a mapping is a value too: one that is refused is not repeated.
    refused = [item["loc"][:-1] for item in items if item["loc"] and item["loc"][-1] == "[key]"]
    return [
        {"field": ".".join(_path(item, refused)), "rule": item["type"], "detail": _detail(item)}
        for item in items
    ]


def _path(item: Any, refused: list[Any]) -> list[str]:
    path = [str(part) for part in item["loc"]]
    for key in refused:
        if item["loc"][: len(key)] == key:
            path[len(key) - 1] = "?"
    if item["type"] == "extra_forbidden":
        path[-1] = path[-1][:40]
    return path


def _detail(item: Any) -> str:
    if item["type"] == "json_invalid":
        return "not valid JSON"
    if item["type"] == "union_tag_invalid":  # pydantic's text quotes the tag
        return f"{item['ctx']['discriminator']} is one of {item['ctx']['expected_tags']}"
    return str(item["msg"])
