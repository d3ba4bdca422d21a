"""Facts as intake appends them; each appeal is marked by its event, so that a display tells which one it shows."""

from typing import Any
from uuid import UUID

from dispatch_ground import LEUVEN, Ground

from schemas.events import Appeal
from services.eventlog.store import campaign_stream
from services.kernel.vault import context, key_name, seal


class Facts(Ground):
    """One case with one campaign."""

    async def appeal(self, event_id: UUID, **changes: Any) -> Appeal:
        appeal = await super().appeal(event_id, areas=(LEUVEN,), **changes)
        name = key_name("case", self.case)
        key = (await self.vault.ensure([name]))[name]
        texts = {"nl": {"headline": str(event_id), "body": "invented"}}
        place = context(campaign_stream(self.campaign), event_id, "appeal.texts")
        return appeal.model_copy(update={"texts": seal(name, key, texts, place)})
