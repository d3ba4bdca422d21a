"""The report as a PDF for printing and reading aloud: tagged, with text for every chart (PDF/UA-1).

Typst sets it; its library is loaded when the first report is printed, since it is large and most processes never print.
"""

import dataclasses
from datetime import datetime
from importlib import resources
from typing import Literal

import orjson

from services.projections.printed.document import Document, Row

STANDARD: Literal["ua-1"] = "ua-1"
"""ISO 14289-1. Setting refuses what would break it, such as a chart without words."""


def pdf(document: Document, moment: datetime) -> bytes:
    """The report. `moment` is when it was counted, and becomes the time of the file: the same figures, the same bytes."""
    import typst  # noqa: PLC0415 - see above

    letters = str(resources.files("font_source_sans_pro") / "files")
    fonts = typst.Fonts(include_system_fonts=False, font_paths=[letters])
    template = resources.files("services.projections.printed") / "templates" / "report.typ"
    return typst.compile(
        template.read_bytes(),
        font_paths=fonts,
        format="pdf",
        sys_inputs={"document": orjson.dumps(_plain(document)).decode()},
        pdf_standards=STANDARD,
        timestamp=int(moment.timestamp()),
    )


def _plain(document: Document) -> dict[str, object]:
    whole = dataclasses.asdict(document)
    for section, made in zip(document.sections, whole["sections"], strict=True):
        for table, made_table in zip(section.tables, made["tables"], strict=True):
            for row, made_row in zip(table.rows, made_table["rows"], strict=True):
                made_row["is_sum"] = Row.is_sum.fget(row)  # type: ignore[attr-defined]
    return whole
