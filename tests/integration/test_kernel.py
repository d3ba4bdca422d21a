"""What every service stands on, on a real PostgreSQL."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.kernel import auth, paging, principals
from services.kernel.idempotency import AnsweredBefore, Idempotency, forget_old
from services.kernel.migrations import MigrationError, migrate
from services.kernel.postgres import in_transaction
from services.kernel.problems import ConflictError, InvalidError
from services.kernel.vault import KeyDestroyedError, LocalKey, Ring, Vault, VaultError, key_name


async def test_keys_are_made_once_and_destroyed_for_ever(vault):
    """Asking twice gives the same key; a destroyed one neither comes back nor is made anew."""
    name, other = key_name("child", uuid4()), key_name("child", uuid4())
    first = await vault.ensure([name, other])
    assert await vault.ensure([name]) == {name: first[name]}
    await vault.destroy([name])
    assert await vault.find([name, other]) == {other: first[other]}
    with pytest.raises(KeyDestroyedError):
        await vault.ensure([name])


async def test_who_is_cancelled_while_the_connection_is_lost_is_cancelled(pool):
    """A roll back on it fails; were that what comes out, a loop that tries again would never end."""
    inside = asyncio.Event()

    async def work(connection):
        inside.pid = await connection.fetchval("select pg_backend_pid()")
        inside.set()
        await asyncio.sleep(30)

    for wait in (0.0, 0.001, 0.002, 0.004, 0.02):
        inside.clear()
        task = asyncio.create_task(in_transaction(pool, work))
        await inside.wait()
        async with asyncio.timeout(10):
            await pool.execute("select pg_terminate_backend($1)", inside.pid)
            await asyncio.sleep(wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


class Counted(Ring):
    """A ring that notes how many keys it wraps at a time, and waits a little, as a key service does."""

    def __init__(self):
        super().__init__([LocalKey(b"k" * 32)])
        self.rounds = []
        self.asked = asyncio.Event()

    async def wrap(self, keys):
        self.rounds.append(len(keys))
        self.asked.set()
        await asyncio.sleep(0.05)
        return await super().wrap(keys)

    async def unwrap(self, key_id, wrapped):
        await asyncio.sleep(0.05)
        return await super().unwrap(key_id, wrapped)


async def test_keys_that_are_asked_for_together_are_made_together(vault):
    """What comes while the vault is asked waits for its answer and then goes as one question."""
    ring = Counted()
    together = Vault(vault._pool, ring)
    wanted = [[key_name("case", uuid4()), key_name("child", uuid4())] for _ in range(20)]
    first = asyncio.create_task(together.ensure(wanted[0]))
    await ring.asked.wait()
    second = asyncio.create_task(together.ensure(wanted[1]))
    await asyncio.sleep(0.01)
    assert ring.rounds == [2]
    made = await asyncio.gather(first, second, *(together.ensure(some) for some in wanted[2:]))
    assert [set(keys) for keys in made] == [set(some) for some in wanted]
    assert ring.rounds == [2, 2 * 19]
    assert await together.find([name for some in wanted for name in some]) == {
        name: key for keys in made for name, key in keys.items()
    }


async def test_who_asks_for_a_destroyed_key_spoils_it_for_nobody_else(vault):
    together = Vault(vault._pool, Counted())
    gone, there = key_name("case", uuid4()), key_name("case", uuid4())
    await together.ensure([gone])
    await together.destroy([gone])
    refused, found = await asyncio.gather(
        together.ensure([gone, there]), together.ensure([there]), return_exceptions=True
    )
    assert isinstance(refused, KeyDestroyedError)
    assert found.keys() == {there}


async def test_who_gives_up_takes_nobodys_keys_away(vault):
    together = Vault(vault._pool, Counted())
    names = [key_name("case", uuid4()) for _ in range(2)]
    asked = [asyncio.create_task(together.ensure([name])) for name in names]
    await asyncio.sleep(0.01)
    asked[0].cancel()
    assert (await asked[1]).keys() == {names[1]}
    with pytest.raises(asyncio.CancelledError):
        await asked[0]


async def test_a_key_destroyed_before_the_question_is_not_in_an_older_answer(vault):
    """An answer that is on its way when somebody asks is not theirs: it may be from before an erasure."""
    together = Vault(vault._pool, Counted())
    name = key_name("case", uuid4())
    await together.ensure([name])
    earlier = asyncio.create_task(together.ensure([name]))
    await asyncio.sleep(0.08)  # the vault has answered, and the key is being opened
    await together.destroy([name])
    with pytest.raises(KeyDestroyedError):
        await together.ensure([name])
    assert (await earlier).keys() == {name}


async def test_concurrent_services_get_the_same_key(vault):
    """Many asking for a new key at once all get one and the same."""
    name = key_name("case", uuid4())
    keys = await asyncio.gather(*(vault.ensure([name]) for _ in range(20)))
    assert len({k[name] for k in keys}) == 1


async def test_another_master_key_opens_nothing(vault):
    """Keys wrapped by one master key are refused under another, with a word on what to do."""
    name = key_name("child", uuid4())
    await vault.ensure([name])
    with pytest.raises(VaultError, match="ZOEKLICHT_MASTER_KEY"):
        await Vault(vault._pool, Ring([LocalKey(b"x" * 32)])).find([name])


async def test_tokens_expire_and_are_revoked(pool):
    """Only a fingerprint is kept; an expired or revoked token is nobody's."""
    token = await principals.issue_token(pool, "ann", principals.Role.OPERATOR)
    late = await principals.issue_token(
        pool, "bob", principals.Role.VIEWER, expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    assert await auth.identify(pool, token) == principals.Principal("ann", principals.Role.OPERATOR)
    assert await auth.identify(pool, late) is None
    assert await auth.identify(pool, "guess") is None
    assert token.encode() not in b"".join(
        r["digest"] for r in await pool.fetch("select digest from kernel.token")
    )
    await principals.revoke_tokens(pool, "ann")
    assert await auth.identify(pool, token) is None


async def test_a_matter_is_paged_once_until_acknowledged(pool):
    """The same matter counts up an open page; after acknowledgement it opens a new one."""
    for _ in range(3):
        await paging.page(pool, "matter", "do this")
    (found,) = await paging.open_pages(pool)
    assert found.times == 3
    assert await paging.acknowledge(pool, found.page_id, "ann")
    assert not await paging.acknowledge(pool, found.page_id, "ann")
    await paging.page(pool, "matter", "do this")
    assert [p.times for p in await paging.open_pages(pool)] == [1]


def key(body: bytes = b"1", name: str = "k") -> Idempotency:
    return Idempotency("ann", "POST /v1/cases", name, body, b"s" * 32)


async def test_idempotency_gives_the_first_answer_again(pool):
    """Same key and body: the first answer; other body: refused; nothing of the answer in clear."""
    async with pool.acquire() as connection, connection.transaction():
        await key().claim(connection)
        await key().remember(connection, 201, {"secret": "Voorbeeld"})
    with pytest.raises(AnsweredBefore) as caught:
        await key().replay(pool)
    assert (caught.value.status, caught.value.answer) == (201, {"secret": "Voorbeeld"})
    with pytest.raises(InvalidError):
        await key(b"2").replay(pool)
    assert "Voorbeeld" not in await pool.fetchval("select answer::text from kernel.idempotency")


async def test_what_is_kept_of_an_idempotency_key_says_nothing(pool):
    """A caller may have made the key from a name: neither it nor a hash that anybody could compute is stored."""
    name = "Lou-Voorbeeld-2010-05-01"
    async with pool.acquire() as connection, connection.transaction():
        await key(name=name).claim(connection)
        await key(name=name).remember(connection, 201, {})
    kept = str(await pool.fetch("select k::text from kernel.idempotency k"))
    guesses = (
        name,
        hashlib.sha256(name.encode()).hexdigest(),
        hashlib.sha256(b"key|" + name.encode()).hexdigest(),
    )
    assert not [guess for guess in guesses if guess in kept]
    with pytest.raises(AnsweredBefore):
        await key(name=name).replay(pool)
    await key(name="Noa-Voorbeeld-2012-01-01").replay(pool)


async def test_idempotency_in_flight_asks_to_wait(pool):
    """While the first request works, the second is told to try again; a failed one leaves no trace."""
    async with pool.acquire() as first, pool.acquire() as second:
        transaction = first.transaction()
        await transaction.start()
        await key(name="f").claim(first)
        with pytest.raises(ConflictError) as caught:
            async with second.transaction():
                await key(name="f").claim(second)
        assert caught.value.headers == {"Retry-After": "1"}
        await transaction.rollback()
        async with second.transaction():
            await key(name="f").claim(second)


async def test_migrations_apply_once_and_an_edited_one_is_found(pool):
    """A second run applies nothing; a file changed after it was applied stops the start."""
    assert await migrate(pool, ("services.kernel", "services.eventlog")) == []
    await pool.execute("update public.migration set digest = 'x' where name = '0001_eventlog.sql'")
    with pytest.raises(MigrationError, match="new migration"):
        await migrate(pool, ("services.eventlog",))


async def test_old_answers_are_forgotten(pool):
    """After seven days the sealed answer is deleted, not only hidden; younger ones stay."""
    for name in ("old", "young"):
        async with pool.acquire() as connection, connection.transaction():
            await key(name=name).claim(connection)
            await key(name=name).remember(connection, 201, {})
    await pool.execute(
        "update kernel.idempotency set created_at = now() - interval '8 days'"
        " where ctid = (select min(ctid) from kernel.idempotency)"
    )
    assert await forget_old(pool) == 1
    await key(name="old").replay(pool)
    with pytest.raises(AnsweredBefore):
        await key(name="young").replay(pool)
