"""Where pages for raters and their votes lie: the part of `ExperimentPaths` that belongs to the human evaluation."""

from pathlib import Path


class HumanPaths:
    """Locations below an experiment's results.

    Attributes:
        results: as of `ExperimentPaths`.
    """

    results: Path

    @property
    def rating_pages(self) -> Path:
        """Folder that is sent to the raters."""
        return self.results / "human_evaluation" / "pages"

    @property
    def rating_key(self) -> Path:
        return self.results / "human_evaluation" / "key.json"

    @property
    def votes(self) -> Path:
        """Folder for the raters' files."""
        return self.results / "human_evaluation" / "votes"

    @property
    def rating_platforms(self) -> Path:
        """Tasks for Label Studio and Mechanical Turk."""
        return self.results / "human_evaluation" / "platforms"

    @property
    def vote_table(self) -> Path:
        return self.results / "human_evaluation" / "votes.csv"

    @property
    def rater_table(self) -> Path:
        return self.results / "human_evaluation" / "raters.csv"

    @property
    def win_rates(self) -> Path:
        return self.results / "human_evaluation" / "human_evaluation.csv"

    @property
    def ranking(self) -> Path:
        """Of three or more arms that raters compared."""
        return self.results / "human_evaluation" / "ranking.csv"

    @property
    def ranking_pairs(self) -> Path:
        return self.results / "human_evaluation" / "ranking_pairs.csv"
