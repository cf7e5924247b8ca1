"""Signs an audit's manifest with a key of one's own, offline (Ed25519; RFC 8032).

The signature is the plain 64 bytes over ``manifest.json``, so other tools can check it too::

    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -out public.pem
    openssl pkeyutl -verify -rawin -in manifest.json -sigfile manifest.sig -pubin -inkey public.pem
"""

from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from auditor.artifacts.atomic import write
from auditor.artifacts.manifest import MANIFEST, SIGNATURE
from auditor.artifacts.regular_file import read_regular
from auditor.errors import UsageError


def sign(folder: Path, key: Path) -> None:
    """Sign the manifest of ``folder`` as it is.

    Args:
        folder: with a ``manifest.json``.
        key: an Ed25519 private key in PEM, without a passphrase.

    Raises:
        UsageError: if the key is none.
    """
    content = _read(key)
    try:
        private = serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise UsageError(f"{key} is protected by a passphrase; give a key without one") from None
    except ValueError as error:
        raise UsageError(f"{key} is not a private key in PEM: {_first_line(error)}") from None
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise UsageError(
            f"{key} is not an Ed25519 key; make one: openssl genpkey -algorithm ed25519 -out "
            "key.pem"
        )
    write(folder / SIGNATURE, private.sign(_read(folder / MANIFEST)))


def signed(folder: Path, key: Path) -> bool:
    """Whether the manifest of ``folder`` is signed by whoever has the private half of ``key``.

    Args:
        folder: with a ``manifest.json``.
        key: an Ed25519 public key in PEM.

    Raises:
        UsageError: if the key is none, or there is no signature.
    """
    content = _read(key)
    try:
        public = serialization.load_pem_public_key(content)
    except ValueError as error:
        raise UsageError(f"{key} is not a public key in PEM: {_first_line(error)}") from None
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise UsageError(f"{key} is not an Ed25519 key, so it signed nothing here")
    try:
        public.verify(_read(folder / SIGNATURE), _read(folder / MANIFEST))
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        # a key may come through a pipe of the user's own; what lies in an audit's folder may not
        return read_regular(path) if path.name in (MANIFEST, SIGNATURE) else path.read_bytes()
    except OSError as error:
        hint = "; sign it first: audit sign DIR --key FILE" if path.name == SIGNATURE else ""
        raise UsageError(f"cannot read {path}: {error.strerror}{hint}") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
