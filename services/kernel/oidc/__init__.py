"""People who sign in with their organisation's identity provider (OpenID Connect), for pages and for the API."""

from services.kernel.oidc.provider import OidcError, Provider, provider_of

__all__ = ["OidcError", "Provider", "provider_of"]
