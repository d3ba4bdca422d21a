"""Every projection there is. A new version of one stands beside the old until the views are swapped."""

from services.projections.annual import Annual
from services.projections.case_list import CaseList
from services.projections.projection import Projection

PROJECTIONS: tuple[Projection, ...] = (CaseList(), Annual())
