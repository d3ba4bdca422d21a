"""An erasure as people see it, and its certificate: what, when, by whom, what remains and why. Pure."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from schemas.vocabulary import Language
from services.intake.domain.erasure import Erasure

Partner = Mapping[str, Any]
"""recipient_id, name, alerts, confirmed (how many of them), confirmed_at (of all), given_up_at, given_up_by."""


@cache
def remains() -> list[dict[str, dict[str, str]]]:
    """What an erasure leaves, and why, each by language: whoever the certificate is for reads their own."""
    text = resources.files("services.intake").joinpath("certificate.toml").read_text(encoding="utf-8")
    return [
        {part: {one.value: entry[part][one] for one in Language} for part in ("what", "why")}
        for entry in tomllib.loads(text)["remains"]
    ]


def erasure_view(
    erasure: Erasure, partners: Sequence[Partner], waits_for: Sequence[str] = ()
) -> dict[str, Any]:
    """The erasure, who approved it, how far it has come, and who has not confirmed."""
    scope = erasure.scope
    return {
        "erasure_id": str(erasure.erasure_id),
        "state": erasure.state,
        "version": erasure.version,
        "case_id": erasure.case_id and str(erasure.case_id),
        "child_id": erasure.child_id and str(erasure.child_id),
        "reason": erasure.reason,
        "reference": erasure.reference,
        "requested_by": erasure.requested_by,
        "requested_at": erasure.requested_at,
        "withdrawn_by": erasure.withdrawn_by,
        "withdrawn_at": erasure.withdrawn_at,
        "approved_by": erasure.approved_by,
        "approved_at": erasure.approved_at,
        "children": sorted(map(str, scope.children)) if scope else [],
        "cases": sorted(map(str, scope.cases)) if scope else [],
        "executed_at": erasure.executed_at,
        "completed_at": erasure.completed_at,
        "waits_for": list(waits_for),
        "partners": [_partner(erasure, one) for one in partners],
    }


def _partner(erasure: Erasure, row: Partner) -> dict[str, Any]:
    why = {recipient: reason for recipient, _, reason in erasure.given_up}
    state = "given_up" if row["given_up_at"] else "confirmed" if row["confirmed_at"] else "waited_for"
    shown = {"recipient_id": str(row["recipient_id"]), "name": row["name"], "alerts": row["alerts"]}
    if state == "confirmed":
        return shown | {"state": state, "confirmed_at": row["confirmed_at"]}
    if state == "given_up":
        given = {"given_up_by": row["given_up_by"], "given_up_at": row["given_up_at"]}
        return shown | {"state": state, **given, "reason": why.get(row["recipient_id"])}
    return shown | {"state": state}


def certificate(erasure: Erasure, partners: Sequence[Partner]) -> dict[str, Any]:
    """The certificate; `complete` only once every partner has confirmed or was given up by a person."""
    view = erasure_view(erasure, partners)
    for name in ("state", "version", "waits_for"):
        del view[name]
    return view | {
        "complete": erasure.completed_at is not None,
        "erased": dict(erasure.erased or {}),
        "keys_in_backups_until": erasure.keys_in_backups_until,
        "remains": remains(),
    }
