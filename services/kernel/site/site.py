"""The pages of an installation: templates, words and static files of every package that has some."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from services.kernel import sessions
from services.kernel.auth import signed_in
from services.kernel.principals import Principal, Role
from services.kernel.problems import ForbiddenError
from services.kernel.site.languages import LANGUAGES, language_of, words_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, no text that becomes markup (CSP 3, Trusted Types)."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Cookie, Accept-Language",
}
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the navigation. `word` names what it is called, `roles` who sees it."""

    path: str
    word: str
    roles: Sequence[Role]


@dataclass(frozen=True, slots=True)
class Static:
    """A file that never changes under its address."""

    body: bytes
    media_type: str


class Site:
    """Renders pages. `packages` hold `templates/`, `static/` and `words.toml`; names of templates are unique."""

    def __init__(self, packages: Sequence[str], navigation: Sequence[Link] = ()) -> None:
        every = ("services.kernel.site", *packages)
        self._navigation = navigation
        self.words = words_of(every)
        self.files = {name: file for package in every for name, file in _files(package)}
        digest = hashlib.sha256()
        for name, file in sorted(self.files.items()):
            digest.update(name.encode() + file.body)
        self.version = digest.hexdigest()[:12]
        self._environment = Environment(
            loader=ChoiceLoader([PackageLoader(package) for package in every]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["static"] = self.static

    def static(self, name: str) -> str:
        """The address of a static file. Raises KeyError when there is none of this name."""
        self.files[name]
        return f"/static/{self.version}/{name}"

    def page(
        self,
        request: Request,
        template: str,
        *,
        caller: Principal | None = None,
        status: int = 200,
        language: str | None = None,
        **more: Any,
    ) -> HTMLResponse:
        """A page in the reader's language, or in `language`; `more` is what its template needs."""
        language = language or language_of(request)
        words = self.words[language]
        cookie = sessions.cookie_of(request)
        html = self._environment.get_template(template).render(
            more,
            say=_sayer(words),
            language=language,
            languages=LANGUAGES,
            here=request.url.path,
            caller=caller,
            csrf=sessions.csrf_token(cookie) if cookie else "",
            navigation=[link for link in self._navigation if caller and caller.role in link.roles],
        )
        return HTMLResponse(html, status, headers={**HEADERS, "Content-Language": language})


def _sayer(words: Mapping[str, str]) -> Callable[..., str]:
    def say(name: str, **values: Any) -> str:
        return words[name].format(**values) if values else words[name]

    return say


def _files(package: str) -> list[tuple[str, Static]]:
    folder = resources.files(package).joinpath("static")
    if not folder.is_dir():
        return []
    found = []
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _TYPES:
            found.append((file.name, Static(file.read_bytes(), _TYPES[suffix])))
    return found


def visitor(*roles: Role) -> Callable[..., Awaitable[Principal]]:
    """A dependency of pages: whoever is not signed in is sent to sign in and comes back; others than `roles`: 403."""

    async def principal(request: Request) -> Principal:
        caller = await signed_in(request)
        if caller is None:
            back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            raise HTTPException(303, "sign in first", {"Location": f"/login?next={quote(back, safe='')}"})
        if caller.role not in roles:
            raise ForbiddenError("role", f"this page is for: {', '.join(roles)}; ask one of them")
        request.state.principal = caller
        return caller

    principal.roles = roles  # type: ignore[attr-defined]  # a test reads what each route demands
    return principal
