"""A range of prompt rows: of a shard, or of a block of the gallery."""

from dataclasses import dataclass

from emudrift.errors import InputError


@dataclass(frozen=True)
class RowRange:
    """Prompt rows start (included) to stop (excluded). The last shard of a dataset may hold fewer rows than its name."""

    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"{self.start:06d}-{self.stop:06d}"

    @classmethod
    def parse(cls, name: str) -> "RowRange":
        start, _, stop = name.partition("-")
        if not (start.isdigit() and stop.isdigit() and int(start) < int(stop)):
            raise InputError(f"{name!r} is not a range of prompt rows such as 000000-000500")
        return cls(int(start), int(stop))
