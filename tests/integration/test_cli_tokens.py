"""`zoeklicht token …`: who may call."""

import pytest

from services.cli import tokens
from services.kernel.auth import identify
from services.kernel.principals import Role, issue_token


@pytest.fixture
def place(settings, monkeypatch, tmp_path):
    """A folder whose installation is the test's own."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_VAULT_DATABASE_URL", settings.vault_url)
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", settings.master_key.get_secret_value())
    return tmp_path


async def test_a_token_is_made_shown_without_itself_and_ended(place, pool, capsys):
    """Printed once; listed by whose it is; ended at once; each step by whom in the audit, the token nowhere."""
    await tokens.create(place, "An Voorbeeld", "case_manager", 30)
    token = capsys.readouterr().out.strip()
    assert (await identify(pool, token)).role is Role.CASE_MANAGER
    await tokens.show(place)
    listed = capsys.readouterr().out
    assert "An Voorbeeld" in listed
    assert "case_manager" in listed
    assert token not in listed
    await tokens.revoke(place, "An Voorbeeld")
    assert await identify(pool, token) is None
    actions = [row["action"] for row in await pool.fetch("select action from kernel.audit order by audit_id")]
    assert actions == ["token.created case_manager An Voorbeeld", "token.revoked An Voorbeeld"]


async def test_ending_takes_one_persons_tokens_and_says_when_there_are_none(place, pool):
    """Every token of that person and of nobody else."""
    mine = [await issue_token(pool, "an", Role.OPERATOR) for _ in range(2)]
    other = await issue_token(pool, "bo", Role.OPERATOR)
    await tokens.revoke(place, "an")
    assert [await identify(pool, one) for one in mine] == [None, None]
    assert await identify(pool, other)
    with pytest.raises(tokens.NoTokenError, match="token list"):
        await tokens.revoke(place, "an")
