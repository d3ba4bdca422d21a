"""The Common Alerting Protocol 1.2 (OASIS, 1 July 2010): written, read, checked beyond its schema, signed and verified.

It knows no word of this system's domain, so that a partner's kit can use it as a library.
"""

from services.cap.errors import CapError, CapRefusedError, Fault
from services.cap.keys import SigningKey
from services.cap.model import Area, Info, Message, Reference, Resource, Value
from services.cap.reading import read
from services.cap.signature import Verdict, sign, verify
from services.cap.writing import write

__all__ = [
    "Area",
    "CapError",
    "CapRefusedError",
    "Fault",
    "Info",
    "Message",
    "Reference",
    "Resource",
    "SigningKey",
    "Value",
    "Verdict",
    "read",
    "sign",
    "verify",
    "write",
]
