"""JSON web tokens as Qlik's virtual proxies take them: signed with RSA, the user in two claims (RFC 7519, RS256)."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_FILE = "jwt_key.pem"
HASHES: dict[str, Callable[[], HashAlgorithm]] = {"RS256": SHA256, "RS384": SHA384, "RS512": SHA512}
USER_CLAIM = "userId"
DIRECTORY_CLAIM = "userDirectory"


class TokenError(Exception):
    """The token vouches for nobody."""


def ensure_token_key(folder: Path) -> RSAPrivateKey:
    """Return the key that signs tokens; make it where there is none."""
    file = folder / KEY_FILE
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
        if isinstance(key, RSAPrivateKey):
            return key
    except (FileNotFoundError, ValueError):
        pass
    made = generate_private_key(public_exponent=65_537, key_size=2048)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def make_token(key: RSAPrivateKey, *, directory: str, user_id: str, lasts_seconds: float) -> str:
    """Return a token for a user, good for so long from now on."""
    claims = {USER_CLAIM: user_id, DIRECTORY_CLAIM: directory, "exp": int(time.time() + lasts_seconds)}
    signed = f"{_encode({'alg': 'RS256', 'typ': 'JWT'})}.{_encode(claims)}"
    return f"{signed}.{_encode_bytes(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def read_token(key: RSAPublicKey, token: str) -> tuple[str, str]:
    """Return directory and id of the user that a token vouches for. Raises TokenError."""
    try:
        header, claims, signature = token.split(".")
        algorithm = HASHES[_decode(header)["alg"]]()
        key.verify(_decode_bytes(signature), f"{header}.{claims}".encode(), PKCS1v15(), algorithm)
        values = _decode(claims)
        now = time.time()
        if now >= values.get("exp", now + 1) or now < values.get("nbf", now):
            raise TokenError("The token is not valid now.")
        return str(values[DIRECTORY_CLAIM]), str(values[USER_CLAIM])
    except InvalidSignature as error:
        raise TokenError("The token is signed by somebody else.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenError(f"The token cannot be read: {error!r}.") from error


def _encode(document: dict[str, Any]) -> str:
    return _encode_bytes(json.dumps(document).encode())


def _encode_bytes(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_decode_bytes(text))
    return document


def _decode_bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
