"""One wrapping key takes the place of another: whoever has the new one, the old one or both goes on, nothing wakes."""

import asyncio
import base64
import itertools
import os
import signal
import subprocess
import sys
from uuid import uuid4

import pytest
from key_service import TOKEN, key_service

from services.kernel.settings import SettingsError, load_settings
from services.kernel.vault import (
    KeyDestroyedError,
    LocalKey,
    Ring,
    TransitKey,
    Vault,
    VaultError,
    WrappingError,
    key_name,
    ring_of,
)
from services.kernel.vault.keys import rewrap, wrapped_with

OLD, NEW = LocalKey(b"o" * 32), LocalKey(b"n" * 32)
TEXTS = {"old": base64.b64encode(b"o" * 32).decode(), "new": base64.b64encode(b"n" * 32).decode()}


def names(count):
    return [key_name("child", uuid4()) for _ in range(count)]


async def rewrapped(pool, ring, at_once=7, *, every=False):
    last, done = "", 0
    while last is not None:
        last, some = await rewrap(pool, ring, last, at_once, every=every)
        done += some
    return done


@pytest.fixture
async def keys(vault):
    """The database of the keys, empty."""
    return vault._pool


@pytest.fixture
async def service(tmp_path):
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    async with key_service() as one:
        one.key = TransitKey(one.url, token)
        yield one


async def test_every_step_of_a_rotation_opens_every_key(keys):
    """Services of the step before and after work side by side, at each of the steps that docs/keys.md names."""
    steps = [Ring([OLD]), Ring([OLD, NEW]), Ring([NEW, OLD]), Ring([NEW])]
    made = {}
    for before, after in itertools.pairwise(steps):
        if after is steps[-1]:
            await rewrapped(keys, before)
            assert await wrapped_with(keys) == {NEW.key_id: len(made)}
        for ring in (before, after):
            made |= await Vault(keys, ring).ensure(names(10))
        for ring in (before, after):
            assert await Vault(keys, ring).find(list(made)) == made
    assert await wrapped_with(keys) == {NEW.key_id: len(made)}


async def test_a_key_that_was_taken_away_is_named(keys):
    """Which key is missing, and which setting wants it; nothing of any key is told."""
    await Vault(keys, Ring([OLD])).ensure([name := names(1)[0]])
    with pytest.raises(WrappingError, match="ZOEKLICHT_WRAPPING_KEYS") as caught:
        await Vault(keys, Ring([NEW])).find([name])
    assert OLD.key_id in str(caught.value)
    with pytest.raises(WrappingError):
        await Vault(keys, Ring([NEW])).ensure([name])
    with pytest.raises(WrappingError):
        await rewrapped(keys, Ring([NEW]))
    assert await wrapped_with(keys) == {OLD.key_id: 1}


async def test_a_key_that_was_moved_or_damaged_does_not_open(keys):
    """The key of one child put under the name of another, or with a bit changed."""
    first, second = names(2)
    vault = Vault(keys, Ring([OLD]))
    await vault.ensure([first, second])
    await keys.execute(
        "update key set wrapped = (select wrapped from key where name = $1) where name = $2", first, second
    )
    with pytest.raises(VaultError, match="damaged or moved"):
        await vault.find([second])
    await keys.execute("update key set wrapped = set_byte(wrapped, 20, 255 - get_byte(wrapped, 20))")
    with pytest.raises(VaultError, match="damaged or moved"):
        await vault.find([first])


async def test_what_is_erased_while_keys_are_wrapped_anew_stays_erased(keys):
    """A key that is destroyed between the look and the change is not brought back."""
    some = names(40)
    vault, ring = Vault(keys, Ring([OLD, NEW])), Ring([NEW, OLD])
    await vault.ensure(some)

    class Slow(LocalKey):
        async def wrap(self, fresh):
            await vault.destroy(list(fresh)[:1])  # meanwhile, somebody is forgotten
            return await super().wrap(fresh)

    assert await rewrapped(keys, Ring([Slow(b"n" * 32), OLD]), at_once=10) == 36
    erased = {row["name"] for row in await keys.fetch("select name from key where wrapped is null")}
    assert len(erased) == 4
    assert (await Vault(keys, ring).find(some)).keys() == set(some) - erased
    with pytest.raises(KeyDestroyedError):
        await Vault(keys, ring).ensure(sorted(erased))


async def test_services_go_on_while_keys_are_wrapped_anew(keys):
    """Keys are made and found all the while, by those that wrap with the old and those that wrap with the new key."""
    some = names(300)
    first = await Vault(keys, Ring([OLD, NEW])).ensure(some)
    over = asyncio.Event()

    async def works(ring):
        vault, mine = Vault(keys, ring), {}
        while not over.is_set():
            mine |= await vault.ensure(names(2))
            assert await vault.find(some[::50]) == {name: first[name] for name in some[::50]}
        return mine

    working = [asyncio.create_task(works(ring)) for ring in (Ring([OLD, NEW]), Ring([NEW, OLD]))]
    await rewrapped(keys, Ring([NEW, OLD]), at_once=20)
    over.set()
    late = {}
    for mine in await asyncio.gather(*working):
        late |= mine
    await rewrapped(keys, Ring([NEW, OLD]))
    assert await Vault(keys, Ring([NEW])).find([*first, *late]) == first | late


async def test_a_rewrap_that_was_killed_goes_on(keys, settings, tmp_path, master_key):
    """Kill -9 in the middle: what is wrapped opens, what is not opens, and the command finishes the rest."""
    some = names(30_000)
    made = await Vault(keys, ring_of(settings)).ensure(some)
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ZOEKLICHT_VAULT_DATABASE_URL": settings.vault_url,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "ZOEKLICHT_MASTER_KEY": master_key,
        "ZOEKLICHT_WRAPPING_KEYS": f"{TEXTS['new']},{master_key}",
    }
    command = [sys.executable, "-m", "services.cli.main", "keys", "rewrap", "--data", str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while (await wrapped_with(keys)).get(NEW.key_id, 0) == 0:
        assert process.poll() is None, process.stderr.read()
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    half = (await wrapped_with(keys)).get(NEW.key_id, 0)
    assert 0 < half < len(some)
    both = Ring([NEW, LocalKey(settings.master_key_bytes)])
    assert await Vault(keys, both).find(some) == made
    again = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)
    assert f"{len(some) - half} keys are wrapped anew" in again.stdout, again.stderr
    assert await Vault(keys, Ring([NEW])).find(some) == made
    shown = await asyncio.to_thread(
        subprocess.run,
        [*command[:4], "status", *command[5:]],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert NEW.key_id in shown.stdout
    for secret in (*TEXTS.values(), master_key):
        assert secret not in again.stdout + again.stderr + shown.stdout + shown.stderr


# ── a key service ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_service_takes_over_from_a_key_of_our_own(keys, service):
    """Keys are wrapped where nobody can read the wrapping key; once all are, the old key is needed no more."""
    some = names(20)
    made = await Vault(keys, Ring([OLD])).ensure(some)
    both = Ring([service.key, OLD])
    made |= await Vault(keys, both).ensure(names(5))
    assert await Vault(keys, both).find(list(made)) == made
    assert await rewrapped(keys, both) == len(some)
    assert await wrapped_with(keys) == {"transit:zoeklicht": len(made)}
    assert await Vault(keys, Ring([service.key])).find(list(made)) == made
    boxes = {row["wrapped"][:9] for row in await keys.fetch("select wrapped from key")}
    assert boxes == {b"vault:v1:"}


async def test_a_newer_version_of_the_services_key_takes_over(keys, service):
    """`rewrap --all` wraps with the newest version; then the service may refuse the old one."""
    made = await Vault(keys, Ring([service.key])).ensure(names(9))
    service.rotate()
    ring = Ring([TransitKey(service.url, service.key._token_file)])
    assert await rewrapped(keys, ring) == 0
    assert await rewrapped(keys, ring, every=True) == 9
    service.oldest = 2
    fresh = Ring([TransitKey(service.url, service.key._token_file)])
    assert await Vault(keys, fresh).find(list(made)) == made


async def test_a_key_service_is_not_asked_for_every_message_but_the_vault_is(keys, service):
    """What was opened is remembered for a while; what is destroyed is not found a moment later."""
    vault = Vault(keys, Ring([service.key]))
    made = await vault.ensure(names(3))
    for _ in range(5):
        assert await vault.find(list(made)) == made
    assert service.calls == ["encrypt", "decrypt"]
    gone = next(iter(made))
    await vault.destroy([gone])
    assert gone not in await vault.find(list(made))


async def test_a_key_service_wraps_only_what_is_made(keys, service):
    """A note on a case whose key is there does not wait for the service, nor depend on it."""
    vault = Vault(keys, Ring([service.key]))
    made = await vault.ensure(names(2))
    await vault.find(list(made))
    service.calls.clear()
    assert await vault.ensure(list(made)) == made
    assert service.calls == []
    more = await vault.ensure([*made, *names(1)])
    assert more.keys() > made.keys()
    assert service.calls == ["encrypt"]


async def test_a_key_service_that_fails_says_what_to_do(keys, service, monkeypatch, tmp_path):
    """Away, slow, another token, a version that is no longer allowed: one clear line, and nothing of a key."""
    monkeypatch.setattr("services.kernel.vault.wrapping.ANSWER_S", 0.3)
    made = await Vault(keys, Ring([service.key])).ensure(names(1))
    token = service.key._token_file

    def cold():
        return Vault(keys, Ring([TransitKey(service.url, token)]))

    service.pause_s = 1.0
    with pytest.raises(WrappingError, match="does not answer"):
        await cold().find(list(made))
    service.pause_s, service.token = 0.0, "another"
    with pytest.raises(WrappingError, match="refuses the token"):
        await cold().find(list(made))
    service.token = TOKEN
    assert await cold().find(list(made)) == made
    service.rotate()
    service.oldest = 2
    with pytest.raises(WrappingError, match="still there"):
        await cold().find(list(made))
    nowhere = TransitKey("http://127.0.0.1:1/v1/transit/zoeklicht", token)
    with pytest.raises(WrappingError, match="does not answer") as caught:
        await Vault(keys, Ring([nowhere])).ensure(names(1))
    with pytest.raises(WrappingError, match="does not answer"):
        await Vault(keys, Ring([TransitKey(service.url, tmp_path / "none")])).ensure(names(1))
    assert TOKEN not in str(caught.value)


def test_settings_that_wrap_nothing_are_refused(tmp_path, master_key):
    """Each with the setting's name and what is allowed, never with a value."""
    base = {
        "database_url": "postgresql://localhost/x",
        "kafka_bootstrap_servers": "localhost:1",
        "master_key": master_key,
    }
    file = tmp_path / "keys"
    file.write_text(f"{TEXTS['new']}\n{TEXTS['old']}\n")
    assert ring_of(load_settings(**base)).key_ids == {LocalKey(base64.b64decode(master_key)).key_id}
    assert ring_of(load_settings(**base, wrapping_keys_file=file)).key_id == NEW.key_id
    for wrong in (
        {"wrapping_keys": "c2hvcnQ="},
        {"wrapping_keys": "http://elsewhere.example/v1/transit/zoeklicht"},
        {"wrapping_keys": "https://bao.example:8200/v1/transit/zoeklicht"},  # without a token
        {"wrapping_keys": TEXTS["new"], "wrapping_keys_file": file},
    ):
        with pytest.raises(SettingsError, match="ZOEKLICHT_") as caught:
            load_settings(**base, **wrong)
        assert not any(value in str(caught.value) for value in ("c2hvcnQ", TEXTS["new"], "elsewhere"))
