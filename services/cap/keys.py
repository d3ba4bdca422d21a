"""The key that signs messages, with the certificate by which others know it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from services.cap.errors import CapKeyError

SEED_BYTES = 48
"""16 bytes more than the curve's order, so that reducing them favours no key (FIPS 186-5, A.2.1)."""
_CURVE = ec.SECP256R1()
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_FROM, _UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its certificate, followed by those that lead to an authority."""

    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    chain: Sequence[x509.Certificate]

    @property
    def certificate(self) -> x509.Certificate:
        """Of the key itself."""
        return self.chain[0]

    @property
    def pem(self) -> bytes:
        """The certificates, as others keep them."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)

    @classmethod
    def from_pem(cls, data: bytes) -> "SigningKey":
        """From a file that holds the private key and its certificate, others after it. Raises CapKeyError."""
        try:
            private = load_pem_private_key(data, None)
            chain = x509.load_pem_x509_certificates(data)
        except (ValueError, TypeError) as error:
            raise CapKeyError(
                "write a private key without password and its certificate, in PEM, into the file"
            ) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise CapKeyError("messages are signed with an elliptic curve or RSA; make such a key")
        if chain[0].public_key() != private.public_key():
            raise CapKeyError("the first certificate of the file is not that of its key; change their order")
        return cls(private, chain)

    @classmethod
    def derived(cls, seed: bytes, name: str) -> "SigningKey":
        """Always the same key and certificate (P-256, signed by itself) for the same secret seed of SEED_BYTES."""
        if len(seed) != SEED_BYTES:
            raise CapKeyError(f"a seed has {SEED_BYTES} bytes")
        private = ec.derive_private_key(int.from_bytes(seed) % (_ORDER - 1) + 1, _CURVE)
        return cls(private, [_self_signed(private, name)])


def _self_signed(private: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(int.from_bytes(identifier.digest[:16]) >> 1 | 1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(private, hashes.SHA256(), ecdsa_deterministic=True)
