"""People who sign in with their organisation's identity provider (OpenID Connect), for pages and for the API."""

from services.kernel.oidc.errors import ExpiredError, OidcError

__all__ = ["ExpiredError", "OidcError"]
