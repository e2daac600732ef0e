"""What to do about a TLS handshake that failed, by the reason that OpenSSL or the server gives for it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

_CLOCK = "This machine's clock says {now:%Y-%m-%d %H:%M} UTC."
_NEW_CERTIFICATES = "Have the site's certificates made anew in Qlik Sense, with SHA-256 and keys of 2048 bits or more"
_OTHER_ROOT = (
    "Check that root.pem comes from this site; for a virtual proxy it is the root of who signed its certificate."
)

#: By OpenSSL's codes of verification (X509_V_ERR_..., in openssl/x509_vfy.h), of the server's certificate
VERIFY_ADVICE: dict[int, str] = {
    2: f"What is in root.pem was signed by another certificate, so it is no root. {_OTHER_ROOT}",
    7: "root.pem has the name of who signed the server's certificate, but another key: the site's certificates were"
    " made anew since. Export them again.",
    9: f"The server's certificate, or root.pem, is good only later. {_CLOCK} Correct it, or that of the server.",
    10: f"The server's certificate, or root.pem, has expired. {_CLOCK} If that is right, renew the site's"
    " certificates in Qlik Sense and export them again.",
    18: "The server signed its certificate itself, so root.pem does not vouch for it. Check the address; for a"
    " virtual proxy with such a certificate put that into root.pem.",
    19: f"Who signed the server's certificate is not in root.pem. {_OTHER_ROOT}",
    20: f"root.pem does not vouch for the server's certificate. {_OTHER_ROOT}",
    21: f"root.pem does not vouch for the server's certificate. {_OTHER_ROOT}",
    23: "The server's certificate was revoked. Have it made anew in Qlik Sense.",
    24: "What is in root.pem must not sign certificates, so it is not the site's root. Export root.pem again.",
    26: "The server's certificate is not made for servers: its extended key usage lacks server authentication."
    " root.pem is not to blame. Check the address, or have the server's certificate made anew in Qlik Sense.",
    62: "The server's certificate names another host, set that name (QRS_HOST_NAME), or accept any of this site"
    " (QRS_VERIFY=chain).",
    64: "The server's certificate names another host, set that name (QRS_HOST_NAME), or accept any of this site"
    " (QRS_VERIFY=chain).",
    66: f"The key of the server's certificate is too short for OpenSSL. {_NEW_CERTIFICATES}.",
    67: f"The key of the root that signed the server's certificate is too short for OpenSSL. {_NEW_CERTIFICATES},"
    " and export them again.",
    68: f"The server's certificate is signed with SHA-1 or MD5, which OpenSSL does not trust. {_NEW_CERTIFICATES}.",
    79: "What is in root.pem must not sign certificates, so it is not the site's root. Export root.pem again.",
}

_SERVER_TOO_OLD = "The server offers no TLS that is new enough. Enable TLS 1.2 or newer on it."
_NO_TLS = "What answers there does not speak TLS. Check the address and the port: QRS has 4242, a virtual proxy 443."
_NOT_THIS_SITE = "Check that client.pem was exported by this site and has not expired."
_TOO_WEAK = "The server's part of the handshake is too weak for OpenSSL. Bring its TLS up to date."

#: By OpenSSL's reasons: what the server says of our part, or what is the matter with its own
REASON_ADVICE: dict[str, str] = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"The server holds client.pem for expired. {_CLOCK} Export the certificates"
    " again.",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "The server holds client.pem for revoked. Export the certificates again.",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "The server does not take client.pem, which may not be made for clients"
    " (extended key usage). Check that client.pem is the client certificate of the export, not the server's.",
    "SSLV3_ALERT_BAD_CERTIFICATE": f"The server does not take client.pem. {_NOT_THIS_SITE}",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": f"The server does not take client.pem. {_NOT_THIS_SITE}",
    "TLSV1_ALERT_UNKNOWN_CA": f"The server does not trust who signed client.pem. {_NOT_THIS_SITE}",
    "TLSV1_ALERT_DECRYPT_ERROR": f"The server cannot verify client.pem. {_NOT_THIS_SITE}",
    "TLSV1_ALERT_ACCESS_DENIED": f"The server knows client.pem and does not let it in. {_NOT_THIS_SITE}",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "The server wants a client certificate, and none is shown: QRS itself, on"
    " port 4242, is called with QRS_AUTH=certificate; a token or a header is for a virtual proxy.",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "The server wants a client certificate of its site, or has no cipher in common"
    " with this machine. Check that client.pem was exported by this site, and that the server takes TLS 1.2 or"
    " newer.",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": "The server holds this machine's ciphers, or client.pem, for too weak."
    " Bring OpenSSL here up to date, or export new certificates.",
    "TLSV1_ALERT_PROTOCOL_VERSION": _SERVER_TOO_OLD,
    "UNSUPPORTED_PROTOCOL": _SERVER_TOO_OLD,
    "UNSUPPORTED_SSL_VERSION": _SERVER_TOO_OLD,
    "WRONG_SSL_VERSION": _SERVER_TOO_OLD,
    "VERSION_TOO_LOW": _SERVER_TOO_OLD,
    "NO_PROTOCOLS_AVAILABLE": "OpenSSL on this machine is told to use no TLS that Butler may use. Look into its"
    " openssl.cnf.",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": "The server's TLS is too old to renegotiate safely. Bring it up to date.",
    "DH_KEY_TOO_SMALL": _TOO_WEAK,
    "EE_KEY_TOO_SMALL": _TOO_WEAK,
    "CA_KEY_TOO_SMALL": _TOO_WEAK,
    "CA_MD_TOO_WEAK": _TOO_WEAK,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
}

#: For reasons that nobody has met yet
_UNKNOWN_VERIFY = f"The server's certificate is not trusted for this reason. {_OTHER_ROOT}"
_UNKNOWN_REASON = f"The handshake failed for this reason. Check the address. {_NOT_THIS_SITE}"
HUNG_UP = (
    "The other side hung up before it had the request, in the TLS handshake as a rule. Check that QRS or its proxy"
    f" listens on this port. {_NOT_THIS_SITE}"
)


def advise(error: ssl.SSLError, *, now: datetime | None = None) -> str:
    """Return what the failure of a handshake means and what to do; `now` is this machine's clock."""
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = VERIFY_ADVICE.get(error.verify_code, _UNKNOWN_VERIFY)
    elif isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        advice = HUNG_UP
    else:
        advice = REASON_ADVICE.get(error.reason or "", _UNKNOWN_REASON)
    return advice.format(now=now or datetime.now(UTC))
