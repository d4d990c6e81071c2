"""What all settings share: the base of the config's models, and the location of a checkpoint's files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from emudrift.config.paths import project_of

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[
    str,
    Field(pattern=NAME, max_length=60, description="Its name in paths, tables and figures."),
]
GuidanceScale = Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)]


def locate(text: str, config_path: Path) -> Path:
    """A path of a config file: absolute; relative to that file if it starts with ./ or ../; else relative to its project."""
    path = Path(text).expanduser()
    if path.is_absolute():
        return path
    return Path(config_path.parent if text.startswith(("./", "../")) else project_of(config_path), path).resolve()


def listing(items: Iterable[str], last: str = "and") -> str:
    """1, 3 and 5."""
    *first, end = list(items)
    return f"{', '.join(first)} {last} {end}" if first else end


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Checkpoint(Settings):
    """Model files: a local folder, or a repository of the Hugging Face hub at a revision."""

    path: Text | None = Field(None, description="Local folder with the files.")
    hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$", description="Hub id, for example BAAI/Emu3-Gen-hf.")
    revision: str | None = Field(
        None, min_length=1, description="Commit (40 hex digits), tag or branch of the hub repository; pin a commit."
    )

    @model_validator(mode="after")
    def _one_place(self) -> "Checkpoint":
        if (self.path is None) == (self.hub is None):
            raise ValueError("give either path (a local folder) or hub (with revision), not both and not neither")
        if self.hub is not None and self.revision is None:
            raise ValueError(f"hub: {self.hub} needs a revision, best a commit of 40 hex digits")
        if self.path is not None and self.revision is not None:
            raise ValueError("revision belongs to hub; a local folder has none")
        return self

    @property
    def file(self) -> str | None:
        """The only file of the folder or repository that is used, where that is one."""
        return None

    @property
    def source(self) -> str:
        """Where the files are from, for people."""
        return f"{self.path}{self._of}" if self.hub is None else f"{self.hub}{self._of} at {self.revision}"

    @property
    def label(self) -> str:
        """The same for a text: a commit is shortened."""
        if self.hub is None:
            return f"{self.path}{self._of}"
        return f"{self.hub}{self._of} at revision {str(self.revision)[:12]}"

    @property
    def _of(self) -> str:
        return "" if self.file is None else f"/{self.file}"
