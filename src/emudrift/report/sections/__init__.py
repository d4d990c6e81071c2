"""The sections of the page below the answer."""
