"""The cluster's certificates: a CA, the API server's certificate, client certificates, the key of service accounts.

Made once, kept in the data directory with mode 0600; the serving certificate is made again when the addresses
change. EC P-256 for certificates (fast to make: a cluster is to start in a second), RSA 2048 for service account
tokens, whose algorithm (RS256) clients expect in the OIDC discovery document.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.clock import Clock

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CA_DAYS, CERTIFICATE_DAYS = 3650, 365
CA, FRONT_PROXY_CA, FRONT_PROXY_CLIENT = "ca", "front-proxy-ca", "front-proxy-client"
RENEW_DAYS = 60  # at a start, when less is left


class Pki:
    """Certificates in a directory. `ensure` makes what is missing."""

    def __init__(self, directory: Path, clock: Clock):
        self.directory, self._clock = directory, clock

    def path(self, name: str) -> Path:
        return self.directory / name

    def read(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def base64(self, name: str) -> str:
        return base64.b64encode(self.read(name)).decode()

    def ensure(self, addresses: list[str]) -> None:
        """The CA, the serving certificate for these names and addresses, the admin's, the service accounts' key."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for ca in (CA, FRONT_PROXY_CA):
            if not self.path(f"{ca}.crt").exists():
                self._make_ca(ca)
        if not self.path("service-account.key").exists():
            self._make_service_account_key()
        if not self.path("encryption.yaml").exists():
            self._make_encryption_key()
        if not self._lasts("admin"):
            # the group that kubeadm gives its admin; system:masters is for breaking the glass
            self.issue_client("admin", "kubernetes-admin", ["system:masters"])
        if not self._lasts(FRONT_PROXY_CLIENT):  # by which aggregated API servers know the API server
            self.issue_client(FRONT_PROXY_CLIENT, FRONT_PROXY_CLIENT, [], ca=FRONT_PROXY_CA)
        wanted = "\n".join(sorted(set(addresses)))
        names = self.path("apiserver.names")
        if not names.exists() or names.read_text() != wanted or not self._lasts("apiserver"):
            self._issue_serving(addresses)
            write_private(names, wanted.encode())

    def _lasts(self, name: str) -> bool:
        """Whether there is such a certificate, and it need not be renewed yet."""
        from cryptography import x509

        path = self.path(f"{name}.crt")
        if not path.exists():
            return False
        left = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc - self._now()
        return left > datetime.timedelta(days=RENEW_DAYS)

    def _make_encryption_key(self) -> None:
        """Secrets are sealed in the store; the key is rotated as in Kubernetes: put a new one first, and start again."""
        import yaml

        from ..apiserver.encryption import new_configuration

        write_private(
            self.path("encryption.yaml"),
            yaml.safe_dump(new_configuration(["secrets"]), sort_keys=False).encode(),
        )

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC)

    def _make_ca(self, file: str) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"pilothouse-{file}")])
        certificate = (
            self._builder(name, name, key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self._write_pair(file, certificate, key)

    def _make_service_account_key(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(65537, 2048)
        write_private(
            self.path("service-account.key"),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def issue_client(self, file: str, user: str, groups: list[str], *, ca: str = CA) -> None:
        """A client certificate `<file>.crt` and its key: CN is the user, O are the groups."""
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID

        attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in groups]
        attributes.append(x509.NameAttribute(x509.NameOID.COMMON_NAME, user))
        self._issue(file, x509.Name(attributes), ExtendedKeyUsageOID.CLIENT_AUTH, [], ca)

    def _issue_serving(self, addresses: list[str]) -> None:
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID

        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kube-apiserver")])
        self._issue("apiserver", name, ExtendedKeyUsageOID.SERVER_AUTH, addresses)

    def _issue(
        self,
        file: str,
        name: x509.Name,
        usage: x509.ObjectIdentifier,
        addresses: list[str],
        signer: str = CA,
    ) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        ca = x509.load_pem_x509_certificate(self.read(f"{signer}.crt"))
        ca_key = serialization.load_pem_private_key(self.read(f"{signer}.key"), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(name, ca.subject, key.public_key(), CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
            )
        )
        if addresses:
            names = [_general_name(address) for address in dict.fromkeys(addresses)]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        self._write_pair(file, builder.sign(ca_key, hashes.SHA256()), key)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        from cryptography import x509

        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def _write_pair(self, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        from cryptography.hazmat.primitives import serialization

        write_private(
            self.path(f"{file}.key"),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        write_private(self.path(f"{file}.crt"), certificate.public_bytes(serialization.Encoding.PEM))


def _usage(ca: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(address: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, and readable by nobody else from the first byte."""
    temporary = path.with_name(path.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
