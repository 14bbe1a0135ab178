"""What every teller has at hand."""

from dataclasses import dataclass

from trawler_bot.budget import Budget
from trawler_bot.delivery import Delivery
from trawler_bot.jobs import Jobs
from trawler_bot.limits import Limits
from trawler_bot.publishing import Publishing
from trawler_bot.rates import Rates
from trawler_bot.records import Records


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One per process."""

    jobs: Jobs
    delivery: Delivery
    records: Records
    limits: Limits
    publishing: Publishing
    rates: Rates
    budget: Budget
