"""The one error of the embedded servers."""


class EmbeddedError(Exception):
    """An embedded server cannot be provided; the text is one line that says what to do next."""
