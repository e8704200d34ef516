"""Certificates with which the app, the scheduler and the workers know one another, made at the app's start."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castle_core.files import atomic_write_bytes, make_folder

_VALID_DAYS = 3650


@dataclass(frozen=True)
class Certificates:
    """The files of one run: a certificate that is its own authority, and its key (0600, folder 0700).

    Who has the key may talk to the scheduler, hence run programs as this user; nobody else can connect.
    """

    certificate: str
    key: str

    def security(self) -> Any:
        """Return the ``distributed.Security`` that accepts nothing but TLS with this certificate on both sides."""
        from distributed.security import Security

        roles = {
            f"tls_{role}_{part}": path
            for role in ("client", "scheduler", "worker")
            for part, path in (("cert", self.certificate), ("key", self.key))
        }
        return Security(require_encryption=True, tls_ca_file=self.certificate, **roles)


def make_certificates(folder: Path) -> Certificates:
    """Make a new key and certificate in `folder`; those of a former run are replaced and so become worthless.

    The certificate starts to be valid a day ago and ends in ten years, so that a wrong or changing clock is no matter.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    make_folder(folder)
    folder.chmod(0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "castle jobs")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_path, certificate_path = folder / "key.pem", folder / "certificate.pem"
    atomic_write_bytes(
        key_path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        mode=0o600,
    )
    atomic_write_bytes(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o600)
    return Certificates(str(certificate_path), str(key_path))
