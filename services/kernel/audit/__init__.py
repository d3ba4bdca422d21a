"""The audit: who looked at whose identity, who called for what, each entry chained to the one before."""

from services.kernel.audit.chain import Entry
from services.kernel.audit.trail import note, note_call, note_refusal

__all__ = ["Entry", "note", "note_call", "note_refusal"]
