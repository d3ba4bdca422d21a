"""TLS to the servers we stand on: what we trust, how we show who we are, and why a certificate was not believed."""

import ssl
from pathlib import Path

# Numbers of OpenSSL's X509_V_ERR_*: not yet valid, expired; another host name, another address.
_TIME = {9, 10}
_NAME = {62, 64}


def client_context(
    *, ca_file: Path | None, certificate: Path | None, key: Path | None, password: str | None
) -> ssl.SSLContext:
    """A context that checks the server's certificate and its name, and shows ours where there is one.

    Without `ca_file` the authorities of the system are trusted, with it that one alone. Raises ValueError, naming the
    setting of Kafka whose file is no good.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"KAFKA_SSL_CAFILE {_fault(error)}: name the authority's certificate in PEM"
        ) from None
    if certificate is None:
        return context
    try:
        # Without a password OpenSSL would ask the terminal for it.
        context.load_cert_chain(certificate, key, lambda: password or "")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE or KAFKA_SSL_PASSWORD {_fault(error)}: name a certificate and"
            " its own key in PEM"
        ) from None
    return context


def _fault(error: Exception) -> str:
    return (
        "is of no use"
        if isinstance(error, (ssl.SSLError, ValueError))
        else "names a file that cannot be read"
    )


def why_not_believed(
    error: ssl.SSLCertVerificationError, *, server: str, address: str, authority: str
) -> str:
    """One line about a certificate that was not believed, with the setting to change.

    `server` is who showed it, `address` and `authority` are the settings that say where it is and who vouches for it.
    """
    if error.verify_code in _NAME:
        return (
            f"the certificate of {server} is for another name: {address} must name it as its certificate does"
        )
    if error.verify_code in _TIME:
        return f"the certificate of {server} is not valid today: have it renewed"
    return f"nobody we trust vouches for the certificate of {server}: {authority} must name the authority that signed it"
