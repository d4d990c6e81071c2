"""The tables of the human evaluation, and their columns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from emudrift.config.paths import ExperimentPaths
from emudrift.evaluation.tables import load_table

RATE_COLUMNS: dict[str, Any] = {
    "question": "str",
    "baseline": "str",
    "model": "str",
    "guidance_scale": "float64",
    "baseline_arm": "str",
    "arm": "str",
    "prompt_set": "str",
    "prompts": "int64",
    "prompts_asked": "int64",
    "prompts_dropped": "int64",
    "raters": "int64",
    "raters_asked": "int64",
    "split": "int64",
    "raters_failed": "int64",
    "raters_excluded": "int64",
    "votes": "int64",
    "votes_asked": "int64",
    "wins": "int64",
    "ties": "int64",
    "losses": "int64",
    "both": "int64",
    "neither": "int64",
    "no_majority": "int64",
    "win": "float64",
    "win_low": "float64",
    "win_high": "float64",
    "tie": "float64",
    "tie_low": "float64",
    "tie_high": "float64",
    "loss": "float64",
    "loss_low": "float64",
    "loss_high": "float64",
    "net_vote": "float64",
    "net_vote_low": "float64",
    "net_vote_high": "float64",
    "confidence": "float64",
    "standard_error": "float64",
    "degrees": "float64",
    "p": "float64",
    "p_adjusted": "float64",
    "low_simultaneous": "float64",
    "high_simultaneous": "float64",
    "finding": "str",
    "prompt_sd": "float64",
    "rater_sd": "float64",
    "vote_sd": "float64",
    "left": "float64",
    "alpha": "float64",
    "alpha_low": "float64",
    "alpha_high": "float64",
    "study": "str",
    "note": "str",
}

# Of three or more arms that raters compared: ranking.csv and ranking_pairs.csv.
RANKING_COLUMNS: dict[str, Any] = {
    "question": "str",
    "group": "int64",
    "rank": "int64",
    "rank_low": "int64",
    "rank_high": "int64",
    "arm": "str",
    "model": "str",
    "guidance_scale": "float64",
    "arms": "int64",
    "prompts": "int64",
    "raters": "int64",
    "votes": "int64",
    "strength": "float64",
    "strength_low": "float64",
    "strength_high": "float64",
    "confidence": "float64",
    "separated": "str",
    "study": "str",
    "note": "str",
}
RANKED_PAIR_COLUMNS: dict[str, Any] = {
    "question": "str",
    "group": "int64",
    "baseline_arm": "str",
    "arm": "str",
    "direct_votes": "int64",
    "net_vote": "float64",
    "net_vote_fitted": "float64",
    "net_vote_fitted_low": "float64",
    "net_vote_fitted_high": "float64",
    "confidence": "float64",
    "standard_error": "float64",
    "degrees": "float64",
    "p": "float64",
    "p_adjusted": "float64",
    "low_simultaneous": "float64",
    "high_simultaneous": "float64",
    "p_misfit": "float64",
    "difference": "float64",
    "difference_low": "float64",
    "difference_high": "float64",
    "share": "float64",
    "finding": "str",
    "study": "str",
    "note": "str",
}

RATER_COLUMNS: dict[str, Any] = {
    "rater": "int64",
    "votes": "int64",
    "asked": "int64",
    "identical": "int64",
    "identical_right": "int64",
    "gold": "int64",
    "gold_right": "int64",
    "swapped": "int64",
    "swapped_same": "int64",
    "swapped_opposite": "int64",
    "no_preference": "float64",
    "left": "float64",
    "net_vote": "float64",
    "seconds": "float64",
    "passed": "str",
    "used": "str",
    "study": "str",
}


@dataclass(frozen=True)
class HumanTables:
    """human_evaluation.csv, raters.csv, and, with three arms or more, ranking.csv and ranking_pairs.csv (else empty)."""

    rates: pd.DataFrame
    raters: pd.DataFrame
    ranking: pd.DataFrame
    pairs: pd.DataFrame

    def with_paths(self, paths: ExperimentPaths) -> list[tuple[pd.DataFrame, Path]]:
        return [(self.raters, paths.rater_table), (self.rates, paths.win_rates), (self.ranking, paths.ranking),
                (self.pairs, paths.ranking_pairs)]  # fmt: skip


def load_human_tables(paths: ExperimentPaths) -> HumanTables:
    """What `import_votes` wrote; without rankings if an earlier version imported.

    Raises:
        InputError: a table is missing or damaged.
    """
    ranking, pairs = (
        load_table(path, columns) if path.exists() else pd.DataFrame(columns=list(columns)).astype(columns)
        for path, columns in ((paths.ranking, RANKING_COLUMNS), (paths.ranking_pairs, RANKED_PAIR_COLUMNS))
    )
    return HumanTables(
        load_table(paths.win_rates, RATE_COLUMNS), load_table(paths.rater_table, RATER_COLUMNS), ranking, pairs
    )
