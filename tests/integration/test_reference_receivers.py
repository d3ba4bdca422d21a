"""What the real sender sends, the reference receivers take, each by a signature of another kind."""

from contextlib import AsyncExitStack

import pytest
from reference_receivers import NO_NODE, find_node, reference
from sender_ground import Ground, sending

from services.dispatch.secret_boxes import private_key
from services.dispatch.sender import Sender
from services.kernel.signing import new_secret, public_text


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


async def _way(ground, way):
    """A recipient, and what its receiver verifies with."""
    recipient = await ground.recipient("http://127.0.0.1:9/")
    if way == "public key":
        private = private_key(recipient, ground.settings.master_key_bytes)
        return recipient, {"ZOEKLICHT_PUBLIC_KEY": public_text(private)}
    if way == "previous secret":
        await ground.pool.execute(
            "update dispatch.recipient set previous_secret = secret, secret = $2 where recipient_id = $1",
            recipient,
            ground._sealed(recipient, new_secret()),
        )
    return recipient, {"ZOEKLICHT_SECRET": ground.secrets[recipient]}


@pytest.mark.parametrize("language", ["python", "typescript"])
async def test_sender_lights_and_darkens_reference_receivers(ground, tmp_path, language):
    """They believe by the secret, by the older one during a rotation, and, in Node, by the public key alone."""
    ways = ["secret", "previous secret"]
    if language == "typescript":
        ways.append("public key")
        if find_node() is None:
            pytest.skip(NO_NODE)
    async with AsyncExitStack() as stack:
        receivers, recipients = [], []
        for way in ways:
            recipient, environment = await _way(ground, way)
            folder = tmp_path / way.replace(" ", "-")
            folder.mkdir()
            receiver = await stack.enter_async_context(reference(language, folder, environment))
            await ground.pool.execute(
                "update dispatch.recipient set url = $2 where recipient_id = $1", recipient, receiver.url
            )
            receivers.append(receiver)
            recipients.append(recipient)
        await stack.enter_async_context(sending(Sender(ground.pool, ground.vault, ground.settings)))
        alert = await ground.alert(recipients)
        for content, shown in (("issued", 1), ("updated", 2), ("withdrawn", None)):
            if content != "issued":
                await ground.revise(alert, content)
            for receiver in receivers:
                await receiver.until({str(alert.alert_id): shown} if shown else {})
