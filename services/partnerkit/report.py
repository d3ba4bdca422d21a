"""What the kit found, for people and for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Column, Table

from services.partnerkit.checklist import Check

NOT_SEEN = (
    "whether the screens do what the receipts and the state page say: look at one",
    "whether revisions survive a restart, unless --restart says how to make one",
    "whether it is reached over https with a valid certificate from outside: the handshake at registration shows it",
)
"""What no kit can see from here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The end of one check."""

    number: int
    name: str
    says: str
    passed: bool
    seen: str
    remedy: str | None

    @classmethod
    def of(cls, number: int, check: Check, *, passed: bool, seen: str) -> "Finding":
        """The remedy only where it is needed."""
        return cls(number, check.name, check.says, passed, seen, None if passed else check.remedy)


@dataclass(frozen=True, slots=True)
class Report:
    """The whole trial. `public_key`: what the v1a signatures of this kit can be checked with."""

    url: str
    public_key: str
    findings: Sequence[Finding]

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return all(one.passed for one in self.findings)

    def as_json(self) -> str:
        """For machines."""
        whole = {"url": self.url, "passed": self.passed, "public_key": self.public_key}
        return json.dumps(
            {**whole, "checks": [asdict(one) for one in self.findings], "not_seen": NOT_SEEN}, indent=2
        )

    def show(self, console: Console) -> None:
        """For people."""
        table = Table(
            Column("#", justify="right"), "the receiver", Column("", no_wrap=True), "seen", title=self.url
        )
        for one in self.findings:
            mark = "[green]pass[/]" if one.passed else "[red]FAIL[/]"
            seen = one.seen if one.passed else f"{one.seen}\n→ {one.remedy}"
            table.add_row(str(one.number), f"{one.says} ({one.name})", mark, seen)
        console.print(table)
        wrong = [one.name for one in self.findings if not one.passed]
        console.print(f"failed: {', '.join(wrong)}" if wrong else "[green]every check passed[/]")
        console.print("The kit cannot see:")
        for text in NOT_SEEN:
            console.print(f"  - {text}")
