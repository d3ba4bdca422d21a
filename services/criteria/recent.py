"""The cases that this process worked on lately, as it knows their rows to be: what is here is not read and parsed again.

A memory and nothing more. Whoever uses it asks the database, under the lock of the case, whether the row is still the
one that is remembered; a row that another worker wrote meanwhile is another one, and is read.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from uuid import UUID

from services.criteria.store import Stored

KEPT_CHILDREN = 2000
"""How many children the cases in memory have in all: what a case takes grows with them, some 10 kB for each."""


class RecentCases:
    """The rows of cases by case, of which the longest unused go when there are too many."""

    def __init__(self, children: int = KEPT_CHILDREN) -> None:
        self._limit = children
        self._rows: OrderedDict[UUID, Stored] = OrderedDict()
        self._children = 0

    def known(self, case_ids: Collection[UUID]) -> dict[UUID, Stored]:
        """Those of these cases that are remembered."""
        return {case_id: self._rows[case_id] for case_id in case_ids if case_id in self._rows}

    def keep(self, rows: Mapping[UUID, Stored]) -> None:
        """Remembers rows as they were committed."""
        for case_id, row in rows.items():
            self._forget(case_id)
            self._rows[case_id] = row
            self._children += _size(row)
        while self._children > self._limit:
            self._forget(next(iter(self._rows)))

    def _forget(self, case_id: UUID) -> None:
        row = self._rows.pop(case_id, None)
        if row is not None:
            self._children -= _size(row)


def _size(row: Stored) -> int:
    return max(1, len(row.file.state.children))
