"""XML signatures as section 3.3.4.1 of the standard wants them: enveloped, over the whole message."""

import base64
import binascii
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)
from signxml.exceptions import (
    InvalidCertificate,
    InvalidDigest,
    InvalidInput,
    InvalidSignature,
    SignXMLException,
)
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from services.cap.keys import SigningKey
from services.cap.reading import document
from services.cap.writing import serialised

_DS = "{http://www.w3.org/2000/09/xmldsig#}"
_ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_TRANSFORMS = frozenset({_ENVELOPED, *(one.value for one in CanonicalizationMethod)})


class Verdict(StrEnum):
    """What becomes of a signature. Only VALID says who sent the message, and that it is whole."""

    VALID = "valid"
    MISSING = "missing"
    """There is none."""
    FORM = "form"
    """It signs something else than the whole message, or with algorithms that are no longer safe."""
    CERTIFICATE = "certificate"
    """Its certificate is damaged, was not valid at that time, or comes from nobody who is trusted."""
    SIGNATURE = "signature"
    """It was not made with the certificate's key."""
    DIGEST = "digest"
    """The message was changed after it was signed."""


def sign(root: etree._Element, key: SigningKey) -> bytes:
    """The signed document."""
    method = (
        SignatureMethod.RSA_SHA256
        if isinstance(key.private, rsa.RSAPrivateKey)
        else SignatureMethod.ECDSA_SHA256
    )
    signer = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=method,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    return serialised(signer.sign(root, key=key.private, cert=list(key.chain)))


def verify(
    data: bytes,
    *,
    certificate: x509.Certificate | None = None,
    authorities: Path | None = None,
    at: datetime | None = None,
) -> Verdict:
    """Whether a message is whole and from whom it should be.

    Give the sender's `certificate`, or a file of `authorities` in PEM below which the sender's must be; `at` is the
    moment for which certificates are judged (now). Raises CapRefusedError for what is no safe XML.
    """
    root = document(data, comments=True)
    signatures = list(root.iter(f"{_DS}Signature"))
    if not signatures:
        return Verdict.MISSING
    if len(signatures) > 1 or not _signs_the_whole(signatures[0]):
        return Verdict.FORM
    if damaged := _damaged(signatures[0]):
        return damaged
    verdict = _verified(data, certificate, authorities, at)
    if verdict in (Verdict.SIGNATURE, Verdict.DIGEST):
        # Many indent a message after signing it, WMO's own validator forgives it, and it changes nothing that is read.
        bare = serialised(document(data, comments=True, indentation=False))
        verdict = Verdict.VALID if _verified(bare, certificate, authorities, at) is Verdict.VALID else verdict
    return verdict


def _signs_the_whole(signature: etree._Element) -> bool:
    references = signature.findall(f"{_DS}SignedInfo/{_DS}Reference")
    used = {one.get("Algorithm") for one in signature.iter(f"{_DS}Transform")}
    return [one.get("URI") for one in references] == [""] and _ENVELOPED in used and used <= _TRANSFORMS


def _damaged(signature: etree._Element) -> Verdict | None:
    """What libraries forgive: base64 whose unused bits are set decodes to the same bytes, and yet was changed."""
    judged = {
        "X509Certificate": Verdict.CERTIFICATE,
        "SignatureValue": Verdict.SIGNATURE,
        "DigestValue": Verdict.DIGEST,
    }
    for name, verdict in judged.items():
        if not all(_canonical(one.text or "") for one in signature.iter(_DS + name)):
            return verdict
    return None


def _canonical(text: str) -> bool:
    packed = "".join(text.split()).encode()
    try:
        return base64.b64encode(base64.b64decode(packed, validate=True)) == packed
    except binascii.Error:
        return False


def _verified(
    data: bytes, certificate: x509.Certificate | None, authorities: Path | None, at: datetime | None
) -> Verdict:
    if certificate is None and authorities is None:
        return Verdict.CERTIFICATE
    # A signature deeper inside would sign a message within the message that is read.
    config = SignatureConfiguration(location="./", verification_time=at)
    try:
        XMLVerifier().verify(
            data,
            x509_cert=certificate,
            ca_pem_file=str(authorities) if authorities else None,
            expect_config=config,
        )
    except InvalidCertificate:
        return Verdict.CERTIFICATE
    except InvalidDigest:
        return Verdict.DIGEST
    except InvalidSignature:
        return Verdict.SIGNATURE
    except (InvalidInput, SignXMLException, ValueError):
        return Verdict.FORM
    return Verdict.VALID
