"""Pages for people: one layout, four languages, one strict policy. Each service brings its own pages into it."""

from services.kernel.site.languages import LANGUAGES, language_of
from services.kernel.site.refusals import face_of
from services.kernel.site.site import Link, Site, visitor

__all__ = ["LANGUAGES", "Link", "Site", "face_of", "language_of", "visitor"]
