"""What the kit believes is on display, by receipts alone."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import uuid4

import pytest

from schemas.commands import Receipt
from services.partnerkit.witness import Witness

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALERT = uuid4()


def receipt(revision, state="displayed", after_ms=0):
    at = (AT + timedelta(milliseconds=after_ms)).isoformat()
    return Receipt.model_validate_json(
        f'{{"alert_id": "{ALERT}", "revision": {revision}, "state": "{state}", "at": "{at}"}}'
    )


@pytest.mark.parametrize(
    ("receipts", "shown"),
    [
        ([receipt(1), receipt(4)], 4),
        ([receipt(1), receipt(4, after_ms=1)], 4),
        ([receipt(4), receipt(1, after_ms=5)], 1),
        ([receipt(1), receipt(2, "removed", 3)], None),
        ([], None),
    ],
    ids=["within one millisecond", "one after the other", "an older one again", "dark", "nothing"],
)
async def test_the_last_change_on_the_screens_counts_in_whatever_order_receipts_come(receipts, shown):
    """Two receipts that leave at once may change places on the way."""
    for order in permutations(receipts):
        witness = Witness(session=None)
        witness.receipts[ALERT] = list(order)
        assert await witness.on_display(ALERT) == shown
