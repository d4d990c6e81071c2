"""What the page says about votes: the sentences, what is missing, and that old votes are not shown for new arms."""

import json
import re
from dataclasses import replace

import pandas as pd
import pytest
import ratings
from ratings import answer, experiment_of, key_of, votes_file

from emudrift.config.human_evaluation import HumanEvaluation
from emudrift.evaluation.human.columns import HumanTables, load_human_tables
from emudrift.evaluation.human.ranking import ranking_tables
from emudrift.evaluation.human.votes import load_votes, rater_table, vote_table
from emudrift.evaluation.human.win_rates import rate_table
from emudrift.evaluation.tables import write_table
from emudrift.report.sections.citations import CITATIONS
from emudrift.report.sections.human_methods import human_methods
from emudrift.report.sections.human_votes import human_section, human_statements


def tables(folder, raters=5, pressing_a=(), exclude_failed=False, votes_each=None):
    """Raters who prefer the model on 30 of 40 prompts; some press A whatever they see."""
    key = key_of()
    paths = []
    for rater in range(1, raters + 1):
        items = key.raters[rater - 1]
        given = ["left" if rater in pressing_a else answer(i, key.pairs[i.pair].arm, 0.3, None) for i in items]
        paths.append(folder / f"{rater}.json")
        stop = votes_each or len(items)
        paths[-1].write_text(json.dumps(votes_file(key, rater, given[:stop] + [None] * (len(items) - stop))))
    votes = load_votes(paths, key)
    table = vote_table(votes, key)
    asked = rater_table(table, votes, key, exclude_failed)
    return HumanTables(rate_table(table, asked, key, "a note"), asked, *ranking_tables(table, asked, key, "a note"))


def three_arms(folder, raters=6, **changes):
    """Raters prefer A to B and A to C on 36 of 40 prompts; of B and C, each rater on other prompts, one as often as the other."""
    arguments = ratings.three_arms({"raters": 6, "split": 2} | changes)
    key, paths = key_of(**arguments), []

    def answer_of(item):
        if item.kind == "identical":
            return "tie" if item.question == "appeal" else "both"
        first = next((side for side in ("left", "right") if getattr(item, side).startswith("A-")), "")
        if first:
            return first if int(item.prompt_id) < 36 else {"left": "right", "right": "left"}[first]
        return "left" if (item.left[0] == "B") == (int(item.prompt_id) % 2) else "right"

    for rater in range(1, raters + 1):
        paths.append(folder / f"{rater}.json")
        paths[-1].write_text(json.dumps(votes_file(key, rater, [answer_of(i) for i in key.raters[rater - 1]])))
    votes = load_votes(paths, key)
    table = vote_table(votes, key)
    found = rater_table(table, votes, key, exclude_failed=False)
    return HumanTables(rate_table(table, found, key), found, *ranking_tables(table, found, key))


def test_a_ranking_in_words(tmp_path):
    found = three_arms(tmp_path)
    arms = experiment_of(**ratings.three_arms()).arms()
    section = human_section(found, arms)
    assert [statement.style for statement in section.statements[:2]] == ["ranked"] * 2
    assert section.statements[0].text.replace("\u00a0", " ") == (
        "Visual appeal, guidance 3, 3 arms ranked: A (rank 1), B (rank 2 or 3) and C (rank 2 or 3). 2 of 3 pairs of arms differ "
        "beyond chance."
    )
    of_arms, of_pairs = section.tables[:2]
    assert [row[1].text.replace("\u00a0", " ") for row in of_arms.rows[:3]] == [
        "A, guidance 3", "B, guidance 3", "C, guidance 3",
    ]  # fmt: skip
    assert [row[1].text.replace("\u00a0", " ") for row in of_pairs.rows[:2]] == [
        "B, guidance 3 against A, guidance 3", "C, guidance 3 against A, guidance 3",
    ]  # fmt: skip
    assert of_pairs.rows[0][2].small.startswith("[")
    assert "; worse; p " in of_pairs.rows[0][2].small
    said = " ".join(section.caveats)
    assert "hold together for the 6 pairs in that table (Bonferroni)" in said
    for words in ("some arms never lost to the others", "groups of arms", "does not fit"):
        assert words not in said
    method = human_methods(HumanEvaluation(), found, arms)
    assert "The pairs were divided among 2 raters at a time" in method
    assert "(Davidson, 1970), with intervals over prompts and raters, simultaneous for the 6 pairs of arms" in method
    assert human_section(found, arms[:2]).tables[0].title == "Net votes and majorities", (
        "without one of its arms there is no ranking"
    )


def test_what_a_ranking_cannot_say_is_said(tmp_path):
    """A circle, in which no number per arm explains the votes; and arms that never lost."""
    found = three_arms(tmp_path)
    pairs = found.pairs.assign(finding=["model does not fit"] + ["worse"] * 5)
    section = human_section(
        replace(found, pairs=pairs, ranking=found.ranking.assign(separated="yes")),
        experiment_of(**ratings.three_arms()).arms(),
    )
    said = " ".join(section.caveats).replace("\u00a0", " ")
    assert (
        "does not fit the net votes of B, guidance 3 against A, guidance 3 (visual appeal: −80 points given, −" in said
    )
    assert "Visual appeal, guidance 3, 3 arms ranked: some arms never lost to the others." in said
    assert section.statements[0].text.endswith(
        "2 of 3 pairs of arms differ beyond chance; on 1 of 3 there is no finding, since the ranking's model does not fit."
    )
    for findings, text in (
        ("inconclusive", "No pair of arms was found to differ beyond chance."),
        (
            "model does not fit",
            "No pair of arms was found to differ beyond chance; on 3 of 3 there is no finding, since the ranking's model does "
            "not fit.",
        ),
    ):
        section = human_section(
            replace(found, pairs=pairs.assign(finding=findings)), experiment_of(**ratings.three_arms()).arms()
        )
        assert section.statements[0].text.endswith(text)
    two = pd.concat([found.ranking, found.ranking.assign(group=2)])
    section = human_section(replace(found, ranking=two), experiment_of(**ratings.three_arms()).arms())
    assert "There are 2 groups of arms that were never compared with each other" in " ".join(section.caveats)


def test_the_set_of_prompts_is_named(tmp_path):
    found = tables(tmp_path)
    found = replace(found, rates=found.rates.assign(prompt_set="places"))
    said = human_section(found, experiment_of().arms()).caveats
    assert said[0] == "Raters judged prompts of one set only, places: nothing here is about the others."
    assert "for the first 40 prompts of the set places, after" in human_methods(
        HumanEvaluation(), found, experiment_of().arms()
    )


def test_one_rater_ranks_without_a_finding(tmp_path):
    section = human_section(three_arms(tmp_path, raters=1), experiment_of(**ratings.three_arms()).arms())
    assert section.statements[0].text.endswith("no finding: there is one rater.")
    assert section.tables[1].rows[0][2].small == "one rater: no interval"


def test_the_answer_in_words(tmp_path):
    section = human_section(tables(tmp_path), experiment_of().arms())
    assert [statement.style for statement in section.statements] == ["better"] * 4
    assert section.statements[1].text.replace("\u00a0", " ") == (
        "Visual appeal, guidance 3: raters preferred base in 25 % [14 to 40] and finetuned in 75 % [60 to 86] of 40 prompts; "
        "the rest are ties. Net vote for finetuned: +50 points [+12 to +83]; better; p = 0.005."
    )
    rates, raters = section.tables
    assert len(rates.rows) == 4
    texts = [cell.text for cell in rates.rows[0]]
    assert texts[1:4] + texts[5:] == ["40", "+50 points", "0 points", "75 %", "0 %", "25 %", "1.00"]
    assert rates.rows[0][6].small == "[0 to 9]; no majority: 0"
    assert rates.rows[2][6].small == "[0 to 9]; both: 0; neither: 0; no majority: 0"
    assert [row[7].text for row in raters.rows] == ["+50 points"] * 5
    assert [row[9].text for row in raters.rows] == ["passed"] * 5
    said = " ".join(section.caveats)
    assert "findings hold together for the 4 comparisons" in said
    assert "Planning: where raters and prompts differ as in “Visual appeal" in said
    assert "raters submitted votes" not in said
    assert "failed" not in said


def test_the_methods_paragraph_says_what_was_asked_of_whom_and_what_came_out(tmp_path):
    found = tables(tmp_path, pressing_a=(2,))
    settings = HumanEvaluation.model_validate({"recruitment": {"pay": "12 euros per hour"}})
    said = human_methods(settings, found, experiment_of().arms()).replace("\u00a0", " ")
    for words in (
        "5 raters judged visual appeal, with the caption hidden (A, B or no preference) and 5 raters judged text faithfulness",
        "the first 40 prompts, after the protocol of Emu (Dai et al., 2023)",
        "recruited [from where] and paid 12 euros per hour; consent: [how it was given]",
        "1 of 5 raters failed the attention checks (none excluded).",
        "simultaneous for the 4 comparisons (Bonferroni)",
        "Visual appeal: finetuned against base, guidance 3: Net vote for finetuned: +",
    ):
        assert words in said, words
    looks = set(re.findall(r"(\w+(?: and \w+| et al\.)?, \d{4})\b", said))
    assert looks == {key for key in CITATIONS if key in said}
    assert len(looks) == 5
    assert human_methods(settings, found, experiment_of(seed=1).arms()) == ""


def test_one_rater_has_no_finding_and_the_page_says_so(tmp_path):
    section = human_section(tables(tmp_path, raters=1), experiment_of().arms())
    assert [statement.style for statement in section.statements] == ["one"] * 4
    assert "no finding: there is one rater, and what others would prefer is not known." in section.statements[0].text
    assert "Planning" not in " ".join(section.caveats)


def test_what_is_missing_is_said(tmp_path):
    said = " ".join(human_statements(tables(tmp_path, raters=3, votes_each=40)))
    assert "3 of 5 raters submitted votes." in said
    assert "120 of the 540 votes assigned to these raters were submitted" in said
    assert "Some of the 40 prompts received no votes, or too few." in said


@pytest.mark.parametrize(
    ("exclude", "fate"), [(True, "excluded"), (False, "included nevertheless (exclude_failed: false)")]
)
def test_who_failed_and_what_became_of_the_votes(tmp_path, exclude, fate):
    said = " ".join(human_statements(tables(tmp_path, pressing_a=(2, 4), exclude_failed=exclude)))
    assert "Raters 2 and 4 failed the attention checks" in said
    assert f"these votes are {fate}." in said


def test_votes_on_arms_that_are_gone_are_left_out_and_named(tmp_path):
    found = tables(tmp_path)
    rates = found.rates
    gone = human_section(found, experiment_of(seed=1).arms())
    assert (gone.statements, gone.tables) == ([], [])
    assert all(name in gone.caveats[0] for name in {*rates["arm"], *rates["baseline_arm"]})
    arms = [arm for arm in experiment_of().arms() if arm.guidance_scale == 3]
    some = human_section(found, arms)
    assert 0 < len(some.statements) < len(rates)
    assert not any("guidance\N{NO-BREAK SPACE}1" in statement.text for statement in some.statements)
    assert some.caveats[0].startswith("Excluded: votes on arms that are no longer in the config (base-cfg1-")


def test_tables_come_back_from_their_files(tmp_path):
    paths, found = replace(experiment_of().paths, results=tmp_path / "results"), three_arms(tmp_path)
    for table, path in found.with_paths(paths):
        write_table(table, path)
    again = load_human_tables(paths)
    for name in ("rates", "raters", "ranking", "pairs"):
        ours, theirs = getattr(found, name), getattr(again, name)
        assert theirs.dtypes.to_dict() == ours.dtypes.to_dict()
        pd.testing.assert_frame_equal(theirs, ours, rtol=1e-8)
    assert len(again.pairs) == 6
    for path in (paths.ranking, paths.ranking_pairs):
        path.unlink()
    assert load_human_tables(paths).ranking.empty, "those of an earlier version"
