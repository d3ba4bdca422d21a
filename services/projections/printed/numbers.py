"""Numbers, months, countries and moments as they are written in a language: by Unicode's CLDR, through Babel."""

from datetime import datetime

from babel import Locale
from babel.dates import format_date, format_time, get_month_names
from babel.numbers import format_decimal, format_percent

from schemas.vocabulary import Language

LOCALES = {Language.NL: "nl_BE", Language.FR: "fr_BE", Language.DE: "de_BE", Language.EN: "en_GB"}
"""Belgium's own ways; English readers are everywhere."""
Number = int | float


class Numbers:
    """How one language writes them."""

    def __init__(self, language: Language) -> None:
        self.locale = Locale.parse(LOCALES[language])

    def count(self, number: Number) -> str:
        """A number, with hundredths where it has them."""
        return _spaced(format_decimal(number, "#,##0.##", locale=self.locale))

    def percent(self, share: float) -> str:
        """A share, in tenths of a per cent."""
        return _spaced(format_percent(share, "#,##0.0\N{NO-BREAK SPACE}%", locale=self.locale))

    def parts(self, numerator: int, denominator: int) -> str:
        """What was divided by what."""
        return f"{self.count(numerator)} / {self.count(denominator)}"

    def month(self, month: int) -> str:
        """The name of a month, 1 to 12."""
        return str(get_month_names("wide", context="stand-alone", locale=self.locale)[month])

    def short_month(self, month: int) -> str:
        """A month in a letter or four."""
        names = get_month_names("abbreviated", context="stand-alone", locale=self.locale)
        return str(names[month]).rstrip(".")

    def country(self, code: str) -> str:
        """A country by its code (ISO 3166-1 alpha-2), or the code where nobody knows it."""
        return str(self.locale.territories.get(code, code))

    def moment(self, moment: datetime) -> str:
        """A day and a time, in the moment's own time zone."""
        day = format_date(moment, "long", locale=self.locale)
        return f"{day}, {format_time(moment, 'HH:mm', tzinfo=moment.tzinfo, locale=self.locale)}"


def _spaced(text: str) -> str:
    """French groups digits by a narrow no-break space, which few fonts have."""
    return text.replace("\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}")
