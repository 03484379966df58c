"""Certificates for tests of TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
from functools import cache
from typing import Any

__all__ = ["certificates"]


@cache
def certificates() -> dict[str, tuple[bytes, bytes]]:
    """An authority, a server for 127.0.0.1 and a client, each certificate and key in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = dt.datetime.now(dt.UTC)
    made: dict[str, tuple[bytes, bytes]] = {}
    authority: Any = None
    for name in ("authority", "server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority[0] if authority else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        )
        if name == "server":
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = builder.sign(authority[1] if authority else key, hashes.SHA256())
        authority = authority or (subject, key)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        made[name] = certificate.public_bytes(serialization.Encoding.PEM), pem
    return made
