"""Warnings of diffusers and transformers: all of them reach the job's log, and those that tell of other images the page."""

import logging
import re

logger = logging.getLogger(__name__)

LIBRARIES = ("diffusers", "transformers")
CHANGES_IMAGES = re.compile(
    r"ignored?\b|not enabled|not expected|fall(ing)? ?back|truncat|setting `|will be set to|has been changed|"
    r"newly initialized|rounding",
    re.IGNORECASE,
)
"""Of texts that tell of something other than what was asked for."""
COUNTED = re.compile(r"input was truncated|sequence length is longer|NSFW content")
"""Of those that are counted image by image, in `captions_cut` and `flagged` of the manifests."""
LONGEST = 300


class LibraryWarnings(logging.Handler):
    """Passes each warning of the libraries on to our log, once, and remembers those that tell of other images."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.about_images: list[str] = []
        self._seen: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if hash(text) in self._seen:
            return
        self._seen.add(hash(text))
        text = f"{record.name.partition('.')[0]}: {text[:LONGEST]}"
        logger.log(record.levelno, "%s", text)
        if CHANGES_IMAGES.search(text) and not COUNTED.search(text):
            self.about_images.append(text)


def listen() -> LibraryWarnings:
    """Listens to the libraries, which must have been imported, in place of who listened before."""
    found = LibraryWarnings()
    for name in LIBRARIES:
        root = logging.getLogger(name)
        root.setLevel(logging.WARNING)
        root.propagate, root.handlers = False, [found]
    return found
