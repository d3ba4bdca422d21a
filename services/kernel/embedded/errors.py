"""The one error of the embedded servers."""

from services.kernel.errors import ZoeklichtError


class EmbeddedError(ZoeklichtError):
    """An embedded server cannot be provided; the text is one line that says what to do next."""
