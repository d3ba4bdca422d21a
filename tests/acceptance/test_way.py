"""One case goes all the way: real HTTP, PostgreSQL, Kafka, every service its own process."""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

from installation import CASE, register, release

SECRETS = ("Voorbeeldkind", "Kenteken", "Geheimnis", "Voorbeeldplein", "Voorbeeldtekenaar")


def shown(server, alert: str) -> int:
    return sum(alert in p.shows for n, p in server.partners.items() if n.startswith("display"))


async def close(site, case: dict) -> None:
    outcomes = [{"child": 0, "outcome": "found_safe"}]
    await site.post(f"/v1/cases/{case['case_id']}/events", {"type": "closed", "outcomes": outcomes})


def states(case: dict, alert: str) -> Counter:
    return Counter(d["state"] for d in case["displays"] if d["alert_id"] == alert)


def standbys(partner, case_started: int) -> list:
    return [a for a in partner.arrivals[case_started:] if a.body["data"].get("kind") == "standby"]


async def test_a_worrying_case_reaches_the_unit_and_the_team_without_identity(shared):
    """Opening a case with a medication-dependent child flags it; the Unit hears which criteria, the team only where."""
    site, server = shared
    unit, team = server.partners["unit"], server.partners["team"]
    marks = len(unit.arrivals), len(team.arrivals)
    case = await site.post("/v1/cases", CASE)
    await server.until(lambda: standbys(unit, marks[0]) and standbys(team, marks[1]))
    found = await site.eventually(f"/v1/cases/{case['case_id']}", lambda c: c["worrying"])
    assert found["assessment"]["reasons"] == ["criterion:medication_dependent"]
    assert found["assessment"]["rules"] == "MD-2002-02-20"
    assert len(found["assessment"]["criteria"]) == 6
    to_unit = standbys(unit, marks[0])[0].body["data"]
    assert to_unit["case_number"] == case["case_number"]
    assert to_unit["criteria"] == ["medication_dependent"]
    to_team = standbys(team, marks[1])[0].body["data"]
    assert to_team["areas"] == ["24062"]
    assert to_team["persons"] == to_team["media"] == []
    assert "case_number" not in to_team
    assert "criteria" not in to_team
    for arrival in (*standbys(unit, marks[0]), *standbys(team, marks[1])):
        assert not any(secret in json.dumps(arrival.body) for secret in SECRETS)
    await close(site, case)
    await server.until(lambda: standbys(unit, marks[0])[-1].type == "alert.withdrawn")
    await server.until(lambda: standbys(team, marks[1])[-1].type == "alert.withdrawn")


async def test_a_campaign_lights_31_displays_and_its_end_darkens_them(shared):
    """Request, consents, release by a second person: 31 signed appeals, receipts, lists, report; the end: 31 dark."""
    site, server = shared
    year = datetime.now(UTC).year
    before = await site.get(f"/v1/reports/annual/{year}", "viewer")
    case = await site.post("/v1/cases", {**CASE, "disappeared_at": datetime.now(UTC).isoformat()})
    campaign = await release(site, case["case_id"])
    displays = [p for n, p in server.partners.items() if n.startswith("display")]
    await server.until(lambda: all(p.arrivals and p.arrivals[-1].type == "alert.issued" for p in displays))
    alert = displays[0].arrivals[-1].alert_id
    assert shown(server, alert) == 31
    data = displays[0].of(alert)[0].body["data"]
    assert data["persons"][0]["name"] == "Lou Voorbeeldkind"
    assert set(data["texts"]) == {"nl", "fr"}
    assert data["contact"] == "116 000"
    assert "Geheimnis" not in json.dumps(data)
    assert all(p.of(alert)[0].body["data"]["revision"] == 1 for p in displays)
    path = f"/v1/cases/{case['case_id']}"
    lit = await site.eventually(path, lambda c: states(c, alert) == {"displayed": 31})
    assert lit["campaigns"][0]["state"] == "released"
    deliveries = await site.get(f"/v1/deliveries?alert={alert}")
    assert sum(d["state"] == "delivered" for d in deliveries["items"]) == 31
    listed = await site.eventually(
        f"/v1/cases?q={case['case_number']}", lambda f: len(f["items"]) == 1 and f["items"][0]["worrying"]
    )
    assert listed["items"][0]["state"] == "open"

    await site.post(f"/v1/campaigns/{campaign}/end", {"reason": "child_found"}, "coordinator")
    await server.until(lambda: shown(server, alert) == 0)
    dark = await site.eventually(path, lambda c: states(c, alert) == {"removed": 31})
    assert dark["campaigns"][0]["state"] == "ended"
    assert all(len(p.of(alert)) == 2 for p in displays), "each display gets each revision once"
    withdrawn = displays[0].of(alert)[1].body["data"]
    assert not {"texts", "persons", "media"} & withdrawn.keys()
    assert not any(secret in json.dumps(withdrawn) for secret in SECRETS)
    await close(site, case)

    def counted(report: dict) -> bool:
        return report["campaigns"]["public"] == before["campaigns"]["public"] + 1

    after = await site.eventually(f"/v1/reports/annual/{year}", counted, "viewer")
    assert after["new_cases"]["runaway"] == before["new_cases"]["runaway"] + 1
    assert after["worrying"] == before["worrying"] + 1


async def test_closing_the_case_darkens_everything(shared):
    """Closing ends the campaign and withdraws standby and appeal, in one step."""
    site, server = shared
    case = await site.post("/v1/cases", CASE)
    await release(site, case["case_id"])
    one = server.partners["display-00"]
    await server.until(lambda: one.arrivals and one.arrivals[-1].type == "alert.issued")
    alert = one.arrivals[-1].alert_id
    await server.until(lambda: shown(server, alert) == 31)
    await close(site, case)
    await server.until(lambda: shown(server, alert) == 0)
    found = await site.get(f"/v1/cases/{case['case_id']}")
    assert (found["state"], found["campaigns"][0]["state"]) == ("closed", "ended")
    await site.eventually(f"/v1/cases/{case['case_id']}", lambda c: not c["worrying"])
    await server.until(lambda: not server.partners["unit"].shows)


async def test_only_partners_of_the_area_are_lit(shared):
    """A campaign for Leuven does not light a partner of Antwerp."""
    site, server = shared
    await register(site, server, {"antwerp": {"areas": ["province:10000"]}, "leuven": {"areas": ["24062"]}})
    case = await site.post("/v1/cases", CASE)
    campaign = await release(site, case["case_id"], ["arrondissement:leuven"])
    leuven = server.partners["leuven"]
    await server.until(lambda: leuven.arrivals)
    alert = leuven.arrivals[0].alert_id
    await server.until(lambda: shown(server, alert) == 31)
    assert server.partners["antwerp"].arrivals == []
    await site.post(f"/v1/campaigns/{campaign}/end", {"reason": "other"}, "coordinator")
    await server.until(lambda: not leuven.shows)
    await close(site, case)
    for name in ("antwerp", "leuven"):
        partner = server.partners.pop(name)
        await site.call("PATCH", f"/v1/partners/{partner.partner_id}", "admin", {"paused": True}, expect=200)


async def test_an_exercise_reaches_no_real_display(shared):
    """A case opened as an exercise alerts nobody who is not marked for exercises."""
    site, server = shared
    await register(site, server, {"drill": {"exercise": True}})
    case = await site.post("/v1/cases", {**CASE, "mode": "exercise"})
    marks = {name: len(p.arrivals) for name, p in server.partners.items()}
    await release(site, case["case_id"], ["BE"])
    drill = server.partners["drill"]
    await server.until(lambda: drill.arrivals)
    assert drill.arrivals[0].body["data"]["status"] == "exercise"
    # A real case sent afterwards arrives: whatever the exercise would have sent has arrived by then.
    real = await site.post("/v1/cases", CASE)
    await release(site, real["case_id"])
    others = [p for n, p in server.partners.items() if n.startswith("display")]
    await server.until(lambda: all(len(p.arrivals) > marks[p.name] for p in others))
    assert all(a.body["data"]["status"] == "actual" for p in others for a in p.arrivals)
    for one in (case, real):
        await close(site, one)
    await server.until(lambda: not any(p.shows for p in server.partners.values()))
    server.partners.pop("drill")


async def test_logs_follow_one_request_through_every_process_and_hold_no_identity(shared):
    """The correlation id of the operator's request is in the logs of the services that worked on it; no name is."""
    site, server = shared
    unit = server.partners["unit"]
    mark = len(unit.arrivals)
    follow = str(uuid4())
    answer = await site.call("POST", "/v1/cases", body=CASE, expect=201, headers={"X-Correlation-ID": follow})
    assert answer[2]["X-Correlation-ID"] == follow
    await server.until(lambda: standbys(unit, mark))

    def services_with_it() -> set[str]:
        return {p.stem for p in (site.folder / "logs").glob("*.log") if follow in p.read_text()}

    await server.until(lambda: {"web", "criteria", "dispatch", "sender"} <= services_with_it())
    for path in site.folder.rglob("*.log"):
        text = path.read_text(errors="replace")
        assert not any(secret in text for secret in SECRETS), path.name
    lines = (site.folder / "logs" / "criteria.log").read_text().splitlines()
    assert lines
    assert all(json.loads(line)["timestamp"] for line in lines if line)
    await close(site, answer[1])


async def test_nothing_that_says_who_reaches_database_or_kafka_in_clear(shared):
    """After all this, no planted name, text or reference is in any byte of the servers' folders, but in sealed form."""
    site, server = shared
    await server.until(lambda: not any(p.shows for p in server.partners.values()))
    pattern = re.compile("|".join(SECRETS).encode())
    scanned = 0
    for folder in ("postgres", "kafka"):
        for path in (site.folder / folder).rglob("*"):
            if path.is_file():
                scanned += path.stat().st_size
                assert not pattern.search(path.read_bytes()), path
    assert scanned > 1_000_000


async def test_health_documents_and_metrics(shared):
    """healthz, readyz by dependency, Prometheus metrics, the OpenAPI document and a page for it."""
    site, _ = shared
    ready = await site.get("/readyz", role=None)
    assert "kafka" in json.dumps(ready)
    await site.call("GET", "/healthz", None, expect=200)
    metrics = (await site.call("GET", "/metrics", None, expect=200))[1]["text"]
    assert "zoeklicht_" in metrics
    document = await site.get("/openapi.json", role=None)
    assert "/v1/cases" in document["paths"]
    page = (await site.call("GET", "/docs", None, expect=200))[1]["text"]
    assert "http://" not in page.replace(site.url, "")
    assert "https://" not in page
