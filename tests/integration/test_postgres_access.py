"""TLS to a real PostgreSQL by DATABASE_URL alone: who it is is checked, and whoever does not get in is told why."""

from dataclasses import dataclass

import pytest
from secured_servers import PASSWORD, USER, Authority, SecuredPostgres, authority, programs_with_tls

from services.kernel import postgres
from services.kernel.postgres import DatabaseRefusedError, connect, create_pool


@dataclass
class Ground:
    """A server whose certificate `ours` signed, and an authority that has nothing to say here."""

    server: SecuredPostgres
    ours: Authority
    others: Authority

    def url(self, query, *, host="localhost", password=PASSWORD, database="postgres"):
        return f"postgresql://{USER}:{password}@{host}:{self.server.port}/{database}?{query}"

    def verified(self, **rest):
        return self.url(f"sslmode=verify-full&sslrootcert={self.ours.file}", **rest)


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    programs = programs_with_tls()
    if programs is None:
        pytest.skip("skipped: install a PostgreSQL that was built with OpenSSL, such as Debian's postgresql")
    folder = tmp_path_factory.mktemp("secured")
    ours, others = authority(folder / "ours"), authority(folder / "others")
    server = SecuredPostgres(programs, ours)
    try:
        server.start()
        yield Ground(server, ours, others)
    finally:
        server.stop()


@pytest.fixture
def any_version(monkeypatch):
    """The machine's PostgreSQL may be older than what the schemas need; to be connected to it does."""
    monkeypatch.delitem(postgres._SERVER_SETTINGS, "transaction_timeout")


@pytest.mark.usefixtures("any_version")
async def test_connections_are_encrypted_and_the_server_is_checked(ground):
    """For a pool and for a connection of its own; the server itself says that it is TLS."""
    asked = "select version from pg_stat_ssl where ssl and pid = pg_backend_pid()"
    pool = await create_pool(ground.verified(), size=1)
    try:
        assert (await pool.fetchval(asked)).startswith("TLSv1.")
    finally:
        await pool.close()
    connection = await connect(ground.verified(), application="test")
    try:
        assert (await connection.fetchval(asked)).startswith("TLSv1.")
    finally:
        await connection.close()


WRONG = {
    "another authority": (
        lambda ground: ground.url(f"sslmode=verify-full&sslrootcert={ground.others.file}"),
        "sslrootcert in DATABASE_URL must name the authority",
    ),
    "another name": (
        lambda ground: ground.verified(host="127.0.0.1"),
        "is for another name: DATABASE_URL",
    ),
    "wrong password": (
        lambda ground: ground.verified(password="guess"),
        "refuses the user or the password in DATABASE_URL",
    ),
    "wrong password of the keys": (
        lambda ground: ground.verified(password="guess", database="vault"),
        "refuses the user or the password in ZOEKLICHT_VAULT_DATABASE_URL",
    ),
    "plain text": (
        lambda ground: ground.url("sslmode=disable"),
        "check the user, the database and sslmode in DATABASE_URL",
    ),
    "no such file": (
        lambda ground: ground.url(f"sslmode=verify-full&sslrootcert={ground.ours.file}.old"),
        "check sslmode and the files that sslrootcert",
    ),
    "a file that is no certificate": (
        lambda ground: ground.url(f"sslmode=verify-full&sslrootcert={__file__}"),
        "check sslmode and the files that sslrootcert",
    ),
    "no such mode": (
        lambda ground: ground.url("sslmode=verify-all"),
        "check sslmode and the files that sslrootcert",
    ),
}


@pytest.mark.usefixtures("any_version")
@pytest.mark.parametrize("wrong", WRONG)
async def test_whoever_does_not_get_in_is_told_which_setting(ground, wrong):
    """One line that names the setting and no secret, for a pool and for a connection of its own."""
    make, hint = WRONG[wrong]
    url = make(ground)
    for way in (create_pool, connect):
        with pytest.raises(DatabaseRefusedError) as caught:
            await way(url, application="test")
        said = str(caught.value)
        assert hint in said
        assert "\n" not in said
        assert not any(secret in said for secret in (PASSWORD, "guess"))


async def test_a_server_without_tls_is_not_spoken_to_in_clear(settings, tmp_path):
    """Whoever asked for TLS gets it or nothing."""
    ours = authority(tmp_path / "ours")
    url = settings.database_url.get_secret_value() + f"?sslmode=verify-full&sslrootcert={ours.file}"
    with pytest.raises(DatabaseRefusedError, match="speaks no TLS: check sslmode in DATABASE_URL"):
        await create_pool(url, size=1)
