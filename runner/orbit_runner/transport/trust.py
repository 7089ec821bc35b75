"""Which certificate authorities this machine trusts."""

from __future__ import annotations

import os
from pathlib import Path

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, Alpine, BSD
)


def system_bundle() -> str:
    """The PEM file to check servers against: `SSL_CERT_FILE`, the system's, else the one that certifi brings.

    A wheel's OpenSSL looks where the machine it was built on kept its certificates, so the file is always named.
    """
    for path in (os.environ.get("SSL_CERT_FILE"), *_BUNDLES):
        if path and Path(path).is_file():
            return path
    import certifi

    return certifi.where()
