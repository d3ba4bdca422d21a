"""What the kit does not ask: rules that both reference receivers follow all the same, as processes."""

import time
from datetime import UTC, datetime

import aiohttp
import orjson
import pytest
from bad_receivers import SECRET
from reference_receivers import NO_NODE, find_node, reference

from services.kernel.signing import headers
from services.partnerkit.trial import keys_of


@pytest.mark.parametrize("language", ["python", "typescript"])
async def test_expiry_ends_a_lease_and_a_standby_has_none(tmp_path, language):
    """Dark at `expires_at` although lease and renewal say more; an alert without a lease stays."""
    if language == "typescript" and find_node() is None:
        pytest.skip(NO_NODE)
    async with (
        reference(language, tmp_path, {"ZOEKLICHT_SECRET": SECRET}) as receiver,
        aiohttp.ClientSession() as client,
    ):
        end = time.time() + 3
        for number, (kind, data) in enumerate(_messages(end)):
            body = orjson.dumps({"type": kind, "data": data})
            head = headers(keys_of(SECRET), f"msg_{number}", int(time.time()), body)
            async with client.post(receiver.url, data=body, headers=head) as answer:
                assert answer.status == 200
        await receiver.until({"short": 1, "standby": 2, "long": 3})
        await receiver.until({"standby": 2, "long": 3})
        assert time.time() >= end


def _messages(end):
    expires_at = datetime.fromtimestamp(end, UTC).isoformat()
    return (
        (
            "alert.issued",
            {"alert_id": "short", "revision": 1, "display_for_s": 1800, "expires_at": expires_at},
        ),
        ("display.renewed", {"alerts": [{"alert_id": "short", "revision": 1, "display_for_s": 1800}]}),
        ("alert.issued", {"alert_id": "standby", "revision": 2, "kind": "standby"}),
        ("alert.issued", {"alert_id": "long", "revision": 3, "display_for_s": 1800}),
        ("display.renewed", {"alerts": [{"alert_id": "long", "revision": 3, "display_for_s": 1}]}),
        ("something.new", {}),
    )
