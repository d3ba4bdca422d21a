"""The report as a PDF for printing and reading aloud: tagged, with text for every chart (PDF/UA-1).

Typst sets it; its library is loaded when the first report is printed, since it is large and most processes never print.
"""

import dataclasses
from datetime import datetime
from importlib import resources

import orjson

from services.projections.printed.document import Document, Row

STANDARD = "ua-1"
"""ISO 14289-1. Setting refuses what would break it, such as a chart without words."""


def pdf(document: Document, moment: datetime) -> bytes:
    """The report. `moment` is when it was counted, and becomes the time of the file: the same figures, the same bytes."""
    import typst  # noqa: PLC0415 - see above

    template = resources.files("services.projections.printed") / "templates" / "report.typ"
    printed = typst.compile(
        template.read_bytes(),
        font_paths=[str(resources.files("font_source_sans_pro") / "files")],
        ignore_system_fonts=True,
        format="pdf",
        sys_inputs={"document": orjson.dumps(_plain(document)).decode()},
        pdf_standards=STANDARD,
        timestamp=int(moment.timestamp()),
    )
    return bytes(printed)


def _plain(document: Document) -> dict[str, object]:
    whole = dataclasses.asdict(document)
    for section, made in zip(document.sections, whole["sections"], strict=True):
        for table, made_table in zip(section.tables, made["tables"], strict=True):
            for row, made_row in zip(table.rows, made_table["rows"], strict=True):
                made_row["is_sum"] = Row.is_sum.fget(row)  # type: ignore[attr-defined]
    return whole
