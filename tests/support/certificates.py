"""Certificates for tests: an authority, a server's and a client's, as PEM files."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "let me in"


@dataclass
class Certificates:
    """Paths of PEM files; `client_key` is encrypted with PASSWORD."""

    authority: str
    server: str
    server_key: str
    expired: str
    elsewhere: str
    client: str
    client_key: str


def make_certificates(folder: Path) -> Certificates:
    """An authority and what it signed: `localhost` and 127.0.0.1 for servers, one that is expired, one
    for another host, and a client's."""
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Orbit test authority")])

    def issue(name: str, key: ec.EllipticCurvePrivateKey, ends: dt.datetime, *, client: bool) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        if name == "localhost":
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * day)
            .not_valid_after(ends)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(authority_key, hashes.SHA256())
        )

    authority = (
        x509.CertificateBuilder()
        .subject_name(authority_name)
        .issuer_name(authority_name)
        .public_key(authority_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * day)
        .not_valid_after(now + 30 * day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )

    def write(name: str, data: bytes) -> str:
        path = folder / name
        path.write_bytes(data)
        return str(path)

    def pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(key: ec.EllipticCurvePrivateKey, password: str | None = None) -> bytes:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password.encode())
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    server_key, client_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    return Certificates(
        authority=write("authority.pem", pem(authority)),
        server=write("server.pem", pem(issue("localhost", server_key, now + 30 * day, client=False))),
        server_key=write("server.key", key_pem(server_key)),
        expired=write("expired.pem", pem(issue("localhost", server_key, now - day, client=False))),
        elsewhere=write("elsewhere.pem", pem(issue("elsewhere.test", server_key, now + 30 * day, client=False))),
        client=write("client.pem", pem(issue("client.test", client_key, now + 30 * day, client=True))),
        client_key=write("client.key", key_pem(client_key, PASSWORD)),
    )


def server_context(certificates: Certificates, *, certificate: str | None = None, ask: bool = False) -> ssl.SSLContext:
    """What a server presents; `ask` demands a certificate of the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate or certificates.server, certificates.server_key)
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.authority)
    return context
