"""The API's documentation as one plain page, made from the OpenAPI document.

FastAPI's own page loads scripts and styles from elsewhere. This one needs nothing but itself: no script, no font, no
picture, so it works on a network without a way out and tells nobody who reads it.
"""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem 1.5rem 4rem; }
h2 { border-bottom: 2px solid; margin-top: 3rem; text-transform: capitalize; }
article { border-left: 4px solid #3b6ea5; margin: 1.5rem 0; padding-left: 1rem; }
article h3 { font-family: ui-monospace, monospace; font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; } th, td { padding: .1rem 1rem .1rem 0; text-align: left; vertical-align: top; }
pre { background: color-mix(in srgb, currentColor 8%, transparent); overflow-x: auto; padding: .5rem; }
nav ul { columns: 18rem; list-style: none; padding: 0; } nav a { font-family: ui-monospace, monospace; }
"""
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

Json = Mapping[str, Any]


def page(document: Json) -> str:
    """The whole page, as HTML."""
    title = escape(str(document["info"]["title"]))
    about = escape(str(document["info"].get("description", "")))
    body = "".join(_body(document))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>'
        f"<main><h1>{title} {escape(str(document['info']['version']))}</h1><p>{about}</p>"
        f'<p>Machines read <a href="/openapi.json">/openapi.json</a>.</p>{body}</main></html>'
    )


def _body(document: Json) -> Iterator[str]:
    grouped: dict[str, list[tuple[str, str, Json]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            grouped.setdefault((operation.get("tags") or ["other"])[0], []).append((method, path, operation))
    yield "<nav><ul>"
    for calls in grouped.values():
        yield from (f'<li><a href="#{_anchor(m, p)}">{m.upper()} {escape(p)}</a></li>' for m, p, _ in calls)
    yield "</ul></nav>"
    for tag, calls in grouped.items():
        yield f"<h2>{escape(tag)}</h2>"
        for method, path, operation in calls:
            yield from _operation(method, path, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        yield f'<details id="schema-{escape(name)}"><summary>{escape(name)}</summary>{_code(schema)}</details>'


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f'<article id="{_anchor(method, path)}"><h3>{method.upper()} {escape(path)}</h3>'
    yield f"<p><strong>{escape(operation.get('summary', ''))}</strong>"
    yield f"<br>{escape(operation.get('description', ''))}</p>"
    parameters = operation.get("parameters", [])
    if parameters:
        yield "<table><tr><th>Parameter</th><th>in</th><th>form</th></tr>"
        for one in parameters:
            must = " (required)" if one.get("required") else ""
            yield f"<tr><td>{escape(one['name'])}{must}</td><td>{escape(one['in'])}</td>"
            yield f"<td><code>{escape(_form(one.get('schema', {})))}</code></td></tr>"
        yield "</table>"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body ({escape(kind)}): {_named(content.get('schema', {}))}</p>"
    yield "<table><tr><th>Answer</th><th></th></tr>"
    for status, answer in operation.get("responses", {}).items():
        yield f"<tr><td>{escape(status)}</td><td>{escape(answer.get('description', ''))}</td></tr>"
    yield "</table></article>"


def _named(schema: Json) -> str:
    """A link to a named schema, or the schema itself."""
    reference = schema.get("$ref")
    if reference is None:
        return _code(schema)
    name = escape(reference.rpartition("/")[2])
    return f'<a href="#schema-{name}">{name}</a>'


def _form(schema: Json) -> str:
    """A parameter's form in a word or two."""
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_form(one) for one in schema["anyOf"] if one.get("type") != "null"))
    name = schema.get("format") or schema.get("type") or schema.get("$ref", "").rpartition("/")[2]
    return str(name or "any")


def _code(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _anchor(method: str, path: str) -> str:
    return method + "".join(letter if letter.isalnum() else "-" for letter in path)
