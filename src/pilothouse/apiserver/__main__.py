"""A bare API server, for development and for replaying recordings: `python -m pilothouse.apiserver --port 6443 --token T`.

It is the API server alone: no controllers, no scheduler, no nodes. The certificate is made at the start, for loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from ..base import collector
from ..base.clock import RealClock
from ..base.random import Random
from ..store.interface import Store
from ..store.memory import MemoryStore
from .audit import Policy
from .config import ApiConfig
from .encryption import Encryption
from .http import server_tls
from .jwt_issuers import anonymous_paths
from .jwt_issuers import of_file as issuers_of_file
from .request import User
from .server import ApiServer
from .token_webhook import TokenWebhook


def self_signed(folder: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1, good for as long as one tries things out."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    start = datetime.datetime.fromtimestamp(RealClock().now() - 3600, datetime.UTC)
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(addresses), False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "server.crt", folder / "server.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(certificate_file), str(key_file)


async def store_of(name: str) -> Store:
    if name == "memory":
        return MemoryStore()
    driver, _, path = name.partition(":")
    if driver == "sqlite" and path:
        from ..store.sqlite import SqliteStore

        return await SqliteStore.open(path)
    raise SystemExit(f"--store is memory or sqlite:PATH, not {name}")


async def run(options: argparse.Namespace) -> None:
    tokens = {options.token: User("admin", ("system:masters",), "admin")} if options.token else {}
    clock = RealClock()
    config = ApiConfig(tokens=tokens, advertise_port=options.port, authorize=not options.no_authorization)
    if options.audit_policy_file:
        config.audit_policy, config.audit_log = (
            Policy.from_file(options.audit_policy_file),
            options.audit_log_path,
        )
    if options.authentication_config:
        config.issuers = issuers_of_file(options.authentication_config, clock, [config.issuer])
        config.anonymous_paths = anonymous_paths(options.authentication_config)
    if options.authentication_token_webhook_config_file:
        config.token_webhook = TokenWebhook(options.authentication_token_webhook_config_file, clock)
    if options.encryption_provider_config:
        config.encryption = Encryption.from_file(options.encryption_provider_config)
    store = await store_of(options.store)
    server = ApiServer(store, clock, Random.from_os(), config)
    await server.start()
    with tempfile.TemporaryDirectory() as folder:
        tls = None if options.insecure else server_tls(*self_signed(Path(folder)))
        host, port = await server.serve(options.host, options.port, tls)
    collector.settle()
    print(f"serving on {'http' if options.insecure else 'https'}://{host}:{port}", flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await server.stop()
    await store.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pilothouse.apiserver", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6443, help="0: any")
    parser.add_argument("--token", default="", help="a bearer token for system:masters")
    parser.add_argument("--store", default="memory", help="memory, or sqlite:PATH")
    parser.add_argument("--encryption-provider-config", metavar="FILE", help="an EncryptionConfiguration")
    parser.add_argument("--authentication-config", metavar="FILE", help="an AuthenticationConfiguration")
    parser.add_argument(
        "--authentication-token-webhook-config-file", metavar="FILE", help="in kubeconfig's form"
    )
    parser.add_argument("--audit-policy-file", metavar="FILE", help="an audit Policy")
    parser.add_argument("--audit-log-path", metavar="FILE", default="audit.log")
    parser.add_argument("--insecure", action="store_true", help="plain HTTP")
    parser.add_argument("--no-authorization", action="store_true", help="everybody may do everything")
    options = parser.parse_args()
    try:
        import uvloop

        uvloop.run(run(options))
    except ImportError:
        asyncio.run(run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
