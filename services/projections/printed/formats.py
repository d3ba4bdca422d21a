"""The report for people, as an answer and as bytes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Literal

from fastapi import Response

from schemas.vocabulary import Language
from services.projections.printed import page, pdf
from services.projections.printed.builder import document
from services.projections.reports import Report

Form = Literal["html", "pdf"]
_MEDIA_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}
_SETTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="report")
"""Setting a report takes a processor for a moment: a second one waits, and other calls go on."""


def written(report: Report, form: Form, language: Language, moment: datetime) -> bytes:
    """The report in a language. `moment` is when it was counted, in local time."""
    made = document(report, language, moment)
    return pdf.pdf(made, moment) if form == "pdf" else page.page(made).encode()


async def answer(report: Report, form: Form, language: Language, moment: datetime) -> Response:
    """The report as an answer, shown by a browser, and under a good name when it is kept."""
    loop = asyncio.get_running_loop()
    content = await loop.run_in_executor(_SETTER, written, report, form, language, moment)
    headers = {
        "content-disposition": f'inline; filename="annual-{report["year"]}-{language}.{form}"',
        "content-language": language.value,
        "content-security-policy": page.content_security_policy() if form == "html" else "default-src 'none'",
        "cache-control": "no-store",
        "vary": "Cookie, Accept-Language",
    }
    return Response(content, headers=headers, media_type=_MEDIA_TYPES[form])
