# SPDX-License-Identifier: GPL-2.0-only
# ruff: noqa: INP001, ANN001, ANN201, ANN204, ARG002 - its interface has no types
"""gallery-dl extractors for the sandbox's media site, in gallery-dl's documented form: a post with
captions, and a list of posts.

Only gallery-dl loads this file (`--extractors`), so it is here and not in a package.
"""

from gallery_dl import text, util
from gallery_dl.extractor.common import Extractor, GalleryExtractor, Message

BASE = r"(?:https?://)?(site(?:\.[\w.-]+)?(?::\d+)?|127\.\d+\.\d+\.\d+(?::\d+)?)"


class TrawlerPostExtractor(GalleryExtractor):
    """The pictures of one post."""

    category = "trawler"
    subcategory = "post"
    pattern = BASE + r"/post/([\w-]+)(\?[^#]*)?$"
    example = "http://site/post/abc"

    def __init__(self, match):
        self.root = "http://" + match[1]
        query = match[3] or ""
        GalleryExtractor.__init__(self, match, f"{self.root}/api/post/{match[2]}{query}")

    def metadata(self, page):
        self.data = post = util.json_loads(page)
        return {
            "title": post["title"],
            "author": post["author"],
            "date": self.parse_datetime_iso(post["date"]),
        }

    def images(self, page):
        return [
            (
                text.urljoin(self.root, image["url"]),
                {"caption": image["caption"], "_http_headers": {"Referer": self.url}},
            )
            for image in self.data["images"]
        ]


class TrawlerUserExtractor(Extractor):
    """All posts of a user."""

    category = "trawler"
    subcategory = "user"
    pattern = BASE + r"/user/([\w-]+)$"
    example = "http://site/user/bob"

    def items(self):
        root = "http://" + self.groups[0]
        posts = self.request_json(f"{root}/api/user/{self.groups[1]}")["posts"]
        for post in posts:
            yield Message.Queue, f"{root}/post/{post}", {"_extractor": TrawlerPostExtractor}
