"""Real servers that take nobody in plain text: a Kafka with TLS and SASL, a PostgreSQL with TLS, one local authority."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from services.kernel.embedded import EmbeddedKafka
from services.kernel.embedded.account import server_account
from services.kernel.embedded.process import choose_port

USER, PASSWORD = "zoeklicht", secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Authority:
    """Signs for `localhost` and nothing else: 127.0.0.1 is the same server under a wrong name."""

    folder: Path
    ca: trustme.CA

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def certificate(self, name: str, *identities: str) -> Path:
        """A certificate and its key in one file of PEM; the key in the form that Java reads."""
        issued = self.ca.issue_cert(*identities)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        file = self.folder / name
        file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + b"".join(part.bytes() for part in issued.cert_chain_pems)
        )
        return file


def authority(folder: Path) -> Authority:
    """A new one, which nobody knows yet."""
    folder.mkdir()
    made = Authority(folder, trustme.CA())
    made.ca.cert_pem.write_to_path(str(made.file))
    return made


class SecuredKafka(EmbeddedKafka):
    """The embedded Kafka with two more ways in: `tls` asks for our certificate, `sasl` for name and password, over TLS."""

    def __init__(self, folder: Path, vouching: Authority) -> None:
        super().__init__(folder / "kafka", log_file=folder / "kafka.log")
        folder.mkdir()
        self._vouching = vouching
        self._keys = vouching.certificate("broker.pem", "localhost")
        self.tls, self.sasl = (choose_port(folder / f"{name}-port") for name in ("tls", "sasl"))

    def _write_properties(self, port: int, controller_port: int) -> None:
        super()._write_properties(port, controller_port)
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        more = {
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"
            f",TLS://127.0.0.1:{self.tls},SASL://127.0.0.1:{self.sasl}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"
            f",TLS://localhost:{self.tls},SASL://localhost:{self.sasl}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASL:SASL_SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._keys,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._vouching.file,
            "listener.name.tls.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{scram} required;",
            "listener.name.sasl.plain.sasl.jaas.config": f'{plain} required user_{USER}="{PASSWORD}";',
        }
        with self._properties.open("a", encoding="ascii") as file:  # the last of two lines holds
            file.writelines(f"{name}={value}\n" for name, value in more.items())

    def _spawn_java(self, main: str, *arguments: str) -> None:
        if main == "kafka.tools.StorageTool":
            arguments += ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
        super()._spawn_java(main, *arguments)


class SecuredPostgres:
    """A PostgreSQL of this machine that lets in over TLS alone: the embedded one is built without it."""

    def __init__(self, programs: Path, vouching: Authority) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="zoeklicht-tls-"))
        self._account = server_account(self._folder / "cluster")
        self._keys = self._folder / "server.pem"
        shutil.copy(vouching.certificate("postgres.pem", "localhost"), self._keys)
        self.port = choose_port(self._folder / "port")
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        cluster, secret = self._folder / "cluster", self._folder / "secret"
        secret.write_text(PASSWORD)
        self._keys.chmod(0o600)
        if self._account is not None:
            for path in (self._folder, secret, self._keys):
                os.chown(path, self._account.uid, self._account.gid)
        self._spawn(
            "initdb", "-D", cluster, "-U", USER, "--pwfile", secret, "-A", "scram-sha-256", "--no-sync"
        ).wait()
        (cluster / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": self._keys,
            "ssl_key_file": self._keys,
            "fsync": "off",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._server = self._spawn("postgres", "-D", cluster, *settings)
        pid_file, deadline = cluster / "postmaster.pid", time.monotonic() + 60
        while not (pid_file.exists() and pid_file.read_text().rstrip().endswith("ready")):
            assert self._server.poll() is None, (self._folder / "log").read_text()[-500:]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it and removes its folder."""
        if self._server is not None:
            self._server.send_signal(
                signal.SIGINT
            )  # the fast end: SIGTERM would wait for a client that was left behind
            self._server.wait(60)
        shutil.rmtree(self._folder)

    def _spawn(self, program: str, *arguments: object) -> subprocess.Popen[bytes]:
        account = self._account
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._programs / program), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )


def programs_with_tls() -> Path | None:
    """Where this machine has a PostgreSQL that was built with OpenSSL; None when it has none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_config"))
    for one in reversed(found):
        built = subprocess.run([str(one), "--configure"], capture_output=True, text=True, check=False).stdout
        if ("openssl" in built) and (one.parent / "initdb").exists():
            return one.parent
    return None
