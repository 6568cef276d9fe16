"""MySQL: login with and without TLS, and the messages of failures."""

import asyncio
import datetime
import ipaddress
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pixyproxy.adapters.sql.repositories.image_repository import SQLImageRepository
from pixyproxy.domain.errors import DBConnectionError
from tests.conformance.contracts.image_repository import make_draft
from tests.fixtures.requirements import missing
from tests.fixtures.sql.mysql_servers import MySQLSettings, PrivateMariaDB, fresh_database

SECRET = "correct horse ' battery \\ stäple 🦆"


async def open_and_close(settings: MySQLSettings, **options: str) -> None:
    repository = SQLImageRepository(settings.database(**options))
    try:
        await repository.open()
        image = await repository.add(make_draft())
        assert await repository.get(image.guid) == image
    finally:
        await repository.close()


async def refusal(settings: MySQLSettings, **options: str) -> str:
    with pytest.raises(DBConnectionError) as caught:
        await open_and_close(settings, **options)
    shown = f"{caught.value.message} {caught.value!r}"
    assert settings.password == "" or settings.password not in shown
    return caught.value.message


# Accounts


@pytest.fixture(scope="module")
def accounts(private_mariadb: PrivateMariaDB) -> Iterator[MySQLSettings]:
    with fresh_database(private_mariadb.settings) as settings:
        server = private_mariadb.settings
        server.query("CREATE USER duck IDENTIFIED BY %s", SECRET)
        server.query("CREATE USER few IDENTIFIED BY 'few' WITH MAX_USER_CONNECTIONS 1")
        server.query("CREATE USER stranger IDENTIFIED BY 'stranger'")
        server.query("CREATE USER locked IDENTIFIED BY 'locked' ACCOUNT LOCK")
        for user in ("duck", "few", "locked"):
            server.query(f"GRANT ALL ON {settings.name}.* TO {user}")
        server.query("CREATE USER reader IDENTIFIED BY 'reader'")
        server.query(f"GRANT SELECT ON {settings.name}.* TO reader")
        yield settings


async def test_any_character_may_be_in_a_password(accounts: MySQLSettings) -> None:
    await open_and_close(replace(accounts, user="duck", password=SECRET))


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"user": "duck", "password": "wrong"}, "DB_USER and DB_PASSWORD"),
        ({"user": "duck", "password": ""}, "DB_USER and DB_PASSWORD"),
        ({"user": "nobody", "password": SECRET}, "DB_USER and DB_PASSWORD"),
        ({"user": "locked", "password": "locked"}, "DB_USER and DB_PASSWORD"),
        ({"user": "stranger", "password": "stranger"}, "DB_NAME"),
        ({"user": "reader", "password": "reader"}, "lacks a right"),
        ({"name": "no_such_database"}, "DB_NAME"),
    ],
)
async def test_a_refused_login_names_the_setting(accounts: MySQLSettings, changes: dict[str, str], hint: str) -> None:
    assert hint in await refusal(replace(accounts, **changes))


async def test_too_many_connections(accounts: MySQLSettings) -> None:
    settings = replace(accounts, user="few", password="few")
    holding = settings.connect()
    try:
        assert "DB_POOL_SIZE" in await refusal(settings)
    finally:
        holding.close()


async def test_the_login_of_mysql_8_and_later(mysql_server: MySQLSettings) -> None:
    """With caching_sha2_password; the first login of an account needs TLS or the server's RSA key."""
    if "MariaDB" in mysql_server.query("SELECT VERSION()")[0][0]:
        pytest.skip("MariaDB has no caching_sha2_password; run with TEST_DB_* naming a MySQL server")
    with fresh_database(mysql_server) as settings:
        user = settings.name[-20:]
        mysql_server.query(f"CREATE USER {user} IDENTIFIED WITH caching_sha2_password BY %s", SECRET)
        try:
            mysql_server.query(f"GRANT ALL ON {settings.name}.* TO {user}")
            await open_and_close(replace(settings, user=user, password=SECRET))
            assert "DB_PASSWORD" in await refusal(replace(settings, user=user, password="wrong"))
        finally:
            mysql_server.query(f"DROP USER {user}")


# TLS


class Authority:
    """A certificate authority that signs certificates for servers."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = self._write(f"{name}.pem", self._sign(self._name, self._key, ca=True))

    def server(self, *names: x509.GeneralName) -> list[str]:
        """Options that make a server use a new certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "database")])
        certificate = self._write("server.pem", self._sign(subject, key, x509.SubjectAlternativeName(names)))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        (self._folder / "server.key").write_bytes(private)
        return [f"--ssl-cert={certificate}", f"--ssl-key={self._folder / 'server.key'}", f"--ssl-ca={self.file}"]

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: x509.SubjectAlternativeName | None = None,
        *,
        ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate) -> str:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    return Authority(folder, "pixyproxy-test-ca")


@pytest.fixture(scope="module")
def tls_mysql(authority: Authority) -> Iterator[MySQLSettings]:
    """Yield a database on a server whose certificate names only the address 127.0.0.1."""
    options = authority.server(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    with PrivateMariaDB(*options) as server:
        if server.settings.query("SELECT @@have_ssl") != (("YES",),):
            missing("MYSQL", "the installed MariaDB server cannot do TLS")
        server.settings.query("CREATE USER secure IDENTIFIED BY 'secure' REQUIRE SSL")
        with fresh_database(server.settings) as settings:
            server.settings.query(f"GRANT ALL ON {settings.name}.* TO secure")
            yield replace(settings, user="secure", password="secure")


async def test_tls_with_the_right_authority(tls_mysql: MySQLSettings, authority: Authority) -> None:
    await open_and_close(tls_mysql, ssl_ca=authority.file)


async def test_tls_that_the_server_offers_is_taken_without_an_authority(tls_mysql: MySQLSettings) -> None:
    """As MySQL does since version 8 by itself: both in threads and on the event loop."""
    await open_and_close(tls_mysql)


def test_no_certificates_of_the_system_are_loaded_to_verify_nothing(
    tls_mysql: MySQLSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: loaded.append(_))
    with closing(tls_mysql.database().server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchall()[0][1]
    assert loaded == []


def test_more_than_fits_into_a_record_goes_through_tls(tls_mysql: MySQLSettings) -> None:
    with closing(tls_mysql.database().server.connect()) as connection, connection.cursor() as cursor:
        text = "duck" * 500_000
        cursor.execute("SELECT %s", (text,))
        assert cursor.fetchone() == (text,)


def test_a_slow_response_times_out_with_tls_too(tls_mysql: MySQLSettings) -> None:
    with closing(tls_mysql.database().server.connect(response_seconds=0.2)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET max_statement_time = 0")
        begun = time.monotonic()
        with pytest.raises(pymysql.OperationalError, match="Lost connection"):
            cursor.execute("SELECT SLEEP(2)")
        assert time.monotonic() - begun < 1


async def test_tls_with_another_authority(tls_mysql: MySQLSettings, tmp_path: Path) -> None:
    assert "DB_SSL_CA" in await refusal(tls_mysql, ssl_ca=Authority(tmp_path, "other").file)


async def test_tls_with_a_certificate_for_another_host(tls_mysql: MySQLSettings, authority: Authority) -> None:
    assert "DB_HOST" in await refusal(replace(tls_mysql, host="localhost"), ssl_ca=authority.file)


async def test_tls_to_a_server_without_it(accounts: MySQLSettings, authority: Authority) -> None:
    assert "DB_SSL_CA" in await refusal(accounts, ssl_ca=authority.file)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_file_without_certificates(accounts: MySQLSettings, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    assert "DB_SSL_CA" in await refusal(accounts, ssl_ca=str(file))


async def test_many_connections_with_tls(tls_mysql: MySQLSettings, authority: Authority) -> None:
    repository = SQLImageRepository(tls_mysql.database(ssl_ca=authority.file))
    await repository.open()
    images = await asyncio.gather(*(repository.add(make_draft()) for _ in range(12)))
    assert await asyncio.gather(*(repository.get(image.guid) for image in images)) == images
    await repository.close()
