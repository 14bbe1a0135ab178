"""The services that every part of the bot uses."""

from dataclasses import dataclass

from trawler_bot.delivery.attachments import Attachments
from trawler_bot.delivery.message import OwnDeletions
from trawler_bot.delivery.public_links import PublicLinks
from trawler_bot.delivery.rate_limits import RateLimitMonitor
from trawler_bot.delivery.throttle import EditThrottle
from trawler_bot.delivery.upload_limits import UploadLimits
from trawler_bot.jobs.client import Jobs
from trawler_bot.storage.database import Database


@dataclass(frozen=True, kw_only=True)
class Services:
    """One instance of each per process."""

    jobs: Jobs
    attachments: Attachments
    database: Database
    limits: UploadLimits
    links: PublicLinks
    rates: RateLimitMonitor
    throttle: EditThrottle
    deletions: OwnDeletions
