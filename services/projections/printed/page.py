"""The report as one page of HTML that needs nothing else: no script, no font, no picture from anywhere."""

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from services.projections.printed.document import Document


@cache
def _template() -> Template:
    loader = PackageLoader("services.projections.printed")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html")


@cache
def _style() -> str:
    folder = resources.files("services.projections.printed") / "templates"
    return (folder / "report.css").read_text("utf-8")


@cache
def content_security_policy() -> str:
    """Nothing is fetched and nothing runs; of styles, the page's own alone, by its hash."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def page(document: Document) -> str:
    """The whole page."""
    return _template().render(document=document, style=_style(), policy=content_security_policy())
