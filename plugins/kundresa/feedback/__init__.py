"""What comes back about messages: hits on their links, receipts of providers, bounces and complaints."""

from kundresa.feedback.bots import Judgement, by_request, judge
from kundresa.feedback.hits import RawHit, record_hits

__all__ = ["Judgement", "RawHit", "by_request", "judge", "record_hits"]
