"""The HTTP edge: limits before anything else, and nothing a caller chose in logs or headers."""

import re

import pytest

from services.kernel.http import MAX_BODY_BYTES, EdgeMiddleware


async def ask(headers: dict[str, str], chunks: list[bytes]) -> tuple[int, dict[str, str], int, bool]:
    """(status, answer's headers, bytes read, whether the application was reached)."""
    read, reached, sent = 0, False, []
    parts = list(chunks)

    async def receive() -> dict:
        nonlocal read
        body = parts.pop(0) if parts else b""
        read += len(body)
        return {"type": "http.request", "body": body, "more_body": bool(parts)}

    async def app(_scope, receive, send) -> None:
        nonlocal reached
        reached = True
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await EdgeMiddleware(app)(scope, receive, send)
    answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answer, read, reached


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", ""])
async def test_a_declared_body_over_the_limit_is_not_even_read(kind):
    """Whatever the content type says: 413, nothing read, the application not reached."""
    headers = {"content-type": kind, "content-length": str(MAX_BODY_BYTES + 1)}
    status, answer, read, reached = await ask(headers, [b"x" * (MAX_BODY_BYTES + 1)])
    assert (status, read, reached) == (413, 0, False)
    assert answer["x-correlation-id"]


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
async def test_a_chunked_body_is_read_up_to_the_limit_only(kind):
    """Without a length, reading ends as soon as the limit is passed."""
    headers = {"content-type": kind, "transfer-encoding": "chunked"}
    status, _, read, reached = await ask(headers, [b"x" * 16384] * 100)
    assert (status, reached) == (413, False)
    assert read <= MAX_BODY_BYTES + 16384


async def test_a_body_at_the_limit_arrives_whole():
    """64 KiB are allowed, declared or chunked."""
    for headers in ({"content-length": str(MAX_BODY_BYTES)}, {"transfer-encoding": "chunked"}):
        status, _, read, reached = await ask(headers, [b"x" * MAX_BODY_BYTES])
        assert (status, read, reached) == (200, MAX_BODY_BYTES, True)


@pytest.mark.parametrize("given", ["Lou-Voorbeeld", "lou", "0" * 65, "", "a b"])
async def test_a_correlation_id_that_could_be_a_name_is_replaced(given):
    """Only hexadecimal ids are taken over: they go into every log and Kafka header."""
    _, answer, _, _ = await ask({"x-correlation-id": given}, [b""])
    assert re.fullmatch(r"[0-9a-f-]{36}", answer["x-correlation-id"])


async def test_a_proper_correlation_id_is_taken_over():
    """A UUID comes back as it was."""
    mine = "0192f0c0-0000-7000-8000-000000000001"
    _, answer, _, _ = await ask({"x-correlation-id": mine}, [b""])
    assert answer["x-correlation-id"] == mine
