"""JSON Schemas and AsyncAPI from the models; a check that what is committed is what the models say, and compatible.

`python -m schemas.generate` writes `schemas/generated`; `--check` exits 1 on drift or on an incompatible change.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from schemas import commands, duty, payloads
from schemas.envelope import Envelope
from schemas.events import EVENTS, TOPICS

FOLDER = Path(__file__).parent / "generated"
_BODIES: dict[str, type[BaseModel]] = {
    "open_case": commands.OpenCase,
    "request_campaign": commands.RequestCampaign,
    "give_consent": commands.GiveConsent,
    "update_campaign": commands.UpdateCampaign,
    "extend_campaign": commands.ExtendCampaign,
    "end_campaign": commands.EndCampaign,
    "new_partner": commands.NewPartner,
    "change_partner": commands.ChangePartner,
    "explain_areas": commands.ExplainAreas,
    "receipt": commands.Receipt,
    "new_person": duty.NewPerson,
    "change_person": duty.ChangePerson,
    "new_volunteer": commands.NewVolunteer,
    "change_volunteer": commands.ChangeVolunteer,
    "call_out": commands.CallOut,
    "record_answer": commands.RecordAnswer,
    "give_task": commands.GiveTask,
    "place_poster": commands.PlacePoster,
    "remove_poster": commands.RemovePoster,
    "request_erasure": commands.RequestErasure,
    "give_up_partner": commands.GiveUpPartner,
    "import_line": commands.ImportLine,
    "webhook": payloads.AlertMessage,
}


def documents() -> dict[str, Any]:
    """Every generated document by its file name."""
    found: dict[str, Any] = {
        f"events/{name}.json": model.model_json_schema() for name, model in EVENTS.items()
    }
    found["envelope.json"] = Envelope.model_json_schema()
    found |= {f"bodies/{name}.json": model.model_json_schema() for name, model in _BODIES.items()}
    found["bodies/fact.json"] = TypeAdapter(commands.Fact).json_schema()
    found["asyncapi.json"] = _asyncapi()
    return found


def _asyncapi() -> dict[str, Any]:
    messages = {
        name: {
            "name": name,
            "title": model.__name__,
            "summary": (model.__doc__ or "").strip().splitlines()[0],
            "contentType": "application/json",
            "headers": {"$ref": "envelope.json"},
            "payload": {"$ref": f"events/{name}.json"},
        }
        for name, model in EVENTS.items()
    }
    channels = {
        topic: {
            "address": topic,
            "description": "Keyed by case id (or partner id, or counter, where there is no case).",
            "messages": {
                name: {"$ref": f"#/components/messages/{name}"}
                for name, model in EVENTS.items()
                if topic == model.TOPIC
            },
        }
        for topic in TOPICS
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "zoeklicht",
            "version": "1",
            "description": "CloudEvents 1.0 in Kafka binary mode: attributes as ce_ headers, JSON in the value.",
        },
        "channels": channels,
        "operations": {
            f"relay-{topic}": {"action": "send", "channel": {"$ref": f"#/channels/{topic}"}}
            for topic in TOPICS
        },
        "components": {"messages": messages},
    }


def render(document: Any) -> str:
    """The text of a document, the same for the same models."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def incompatible(old: Any, new: Any, path: str = "") -> list[str]:
    """What readers of the old schema would trip over: lost fields, new duties, narrower types or vocabularies.

    An event's version never changes its meaning: such a change needs a new version and an upcaster.
    """
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return []
    found = []
    lost = old.get("properties", {}).keys() - new.get("properties", {}).keys()
    found += [f"{path}.{name}: removed" for name in sorted(lost)]
    duties = set(new.get("required", [])) - set(old.get("required", []))
    found += [f"{path}.{name}: now required" for name in sorted(duties)]
    gone = set(map(str, old.get("enum", []))) - set(map(str, new.get("enum") or old.get("enum", [])))
    found += [f"{path}: {value} no longer allowed" for value in sorted(gone)]
    for key in ("type", "format", "pattern"):
        if key in old and old[key] != new.get(key, old[key]):
            found.append(f"{path}: {key} changed")
    for group in ("properties", "$defs"):
        for name in old.get(group, {}).keys() & new.get(group, {}).keys():
            found += incompatible(old[group][name], new[group][name], f"{path}.{name}")
    if "items" in old:
        found += incompatible(old["items"], new.get("items"), f"{path}[]")
    return found


def check() -> list[str]:
    """What is wrong with the committed documents."""
    wanted = documents()
    present = {str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.json")}
    found = [
        f"{name}: no model makes it any more; its event type must stay readable"
        for name in present - wanted.keys()
    ]
    for name, document in wanted.items():
        path = FOLDER / name
        if not path.exists():
            found.append(f"{name}: missing; run `make schemas`")
            continue
        old = json.loads(path.read_text(encoding="utf-8"))
        if name.startswith("events/"):
            found += [f"{name}: incompatible: {change}" for change in incompatible(old, document)]
        if path.read_text(encoding="utf-8") != render(document):
            found.append(f"{name}: differs from its model; run `make schemas`")
    return sorted(found)


def write() -> None:
    """Writes every document."""
    for name, document in documents().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(document), encoding="utf-8")


def main() -> int:
    """The command."""
    if "--check" not in sys.argv[1:]:
        write()
        return 0
    problems = check()
    sys.stdout.write("".join(f"{line}\n" for line in problems) or "schemas: as the models say\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
