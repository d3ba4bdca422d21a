"""A picture that comes in a form, and the few words beside it."""

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from services.kernel.pictures import MAX_BYTES
from services.kernel.problems import BadRequestError, InvalidError, TooLargeError, UnsupportedTypeError

FORM_BYTES = MAX_BYTES + 64 * 1024
"""Of a whole form: with what multipart adds around the file."""


class _InMemory(MultiPartParser):
    """Keeps the file in memory: spooled to a disk it would lie there in clear."""

    spool_max_size = FORM_BYTES


def is_multipart(request: Request) -> bool:
    """Whether the body may hold a file."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def form_of(request: Request) -> tuple[bytes | None, dict[str, str]]:
    """The file of a form, whatever its field is called (None: nobody chose one), and its other fields. Raises a Problem."""
    try:
        parser = _InMemory(request.headers, request.stream(), max_files=1, max_fields=4, max_part_size=1024)
        form = await parser.parse()
    except (MultiPartException, ClientDisconnect) as error:
        raise BadRequestError("multipart", "the form cannot be read: it holds one file") from error
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile) and value.filename]
        content = await files[0].read() if files else None
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    finally:
        await form.close()
    if content is not None and len(content) > MAX_BYTES:
        raise TooLargeError("picture-size", f"a photo has at most {MAX_BYTES} bytes: make it smaller")
    return content, fields


async def the_file(request: Request) -> bytes:
    """The one file of a form. Raises a Problem, also when there is none."""
    if not is_multipart(request):
        raise UnsupportedTypeError("multipart", "send the photo as a file in multipart/form-data")
    content, _ = await form_of(request)
    if content is None:
        raise InvalidError("file", "the form holds no file: add the photo, with a file name")
    return content
