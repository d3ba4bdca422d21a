"""What can be wrong with a sign-in. Light to import: the library that checks signatures is not."""

from collections.abc import Mapping
from typing import Any

from services.kernel.errors import ZoeklichtError


class OidcError(ZoeklichtError):
    """The provider is away, or what it or somebody else sent is not what it should be; the message holds no token."""


class ExpiredError(OidcError):
    """A token of the provider that was valid once. `claims` are what it said."""

    def __init__(self, claims: Mapping[str, Any]) -> None:
        super().__init__("the token is over: sign in again")
        self.claims = claims
