"""Votes: whatever cannot be a rater's file for this study is refused by name; checks count as they should."""

import json

import numpy as np
import pytest
from ratings import answer, key_of, votes_file

from emudrift.errors import InputError
from emudrift.evaluation.human.study import ANSWERS
from emudrift.evaluation.human.vote_files import Vote
from emudrift.evaluation.human.votes import load_votes, rater_table, scan_votes, vote_table


@pytest.fixture(scope="module")
def key():
    return key_of()


def honest(key, rater, prefers=1.0):
    rng = np.random.default_rng(rater)
    return [answer(item, key.pairs[item.pair].arm, prefers, rng) for item in key.raters[rater - 1]]


def write(folder, name, file):
    path = folder / name
    path.write_text(json.dumps(file))
    return path


def tables(folder, key, files, exclude_failed=False):
    paths = [write(folder, f"{number}.json", file) for number, file in enumerate(files)]
    votes = load_votes(paths, key)
    table = vote_table(votes, key)
    return table, rater_table(table, votes, key, exclude_failed)


def test_votes_name_arms_whatever_side_they_stood_on(tmp_path, key):
    votes, _ = tables(tmp_path, key, [votes_file(key, rater, honest(key, rater)) for rater in range(1, 6)])
    assert len(votes) == 5 * len(key.raters[0])
    rated = votes[votes["kind"] == "rated"]
    assert set(rated["choice"]) == {"model"}
    assert set(rated["answer"]) == {"left", "right"}
    chosen = np.where(rated["answer"] == "left", rated["left_arm"], rated["right_arm"])
    assert (chosen == rated["arm"]).all()


def test_an_incomplete_file_is_counted_and_said(tmp_path, key, caplog):
    caplog.set_level("INFO")
    answers = honest(key, 2)
    answers[10:] = [None] * (len(answers) - 10)
    votes, raters = tables(tmp_path, key, [votes_file(key, 2, answers)])
    assert len(votes) == 10
    assert raters[["rater", "votes", "asked"]].to_numpy().tolist() == [[2, 10, 180]]
    assert "is incomplete, with 10 of 180 votes; these are counted" in caplog.text
    assert "no votes yet from rater 1, 3, 4, 5 (of 5 raters)" in caplog.text


def test_a_file_sent_twice_is_counted_once(tmp_path, key):
    file = votes_file(key, 1, honest(key, 1))
    back_to_front = file | {"votes": file["votes"][::-1]}
    votes, raters = tables(tmp_path, key, [file, back_to_front])
    assert len(votes) == len(file["votes"])
    assert len(raters) == 1


def test_a_file_with_a_byte_order_mark_is_read(tmp_path, key):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(votes_file(key, 1, honest(key, 1))), encoding="utf-8-sig")
    assert path.read_bytes()[:3] == b"\xef\xbb\xbf"
    assert len(load_votes([path], key)[1]) == 180


def changed(**changes):
    return lambda file: file | changes


def with_vote(**changes):
    return lambda file: file | {"votes": [file["votes"][0] | changes, *file["votes"][1:]]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(experiment="other"), "a.json: votes for experiment 'other', but this is 'small'"),
        (changed(study="000000000000"), "a.json: votes for study 000000000000, but the key belongs to study"),
        (changed(rater=6), "a.json: rater: 6 is not one of the raters 1 to 5"),
        (changed(rater=2), "a.json: rater: 2, but by its token this file was made by the page of rater 1: a copy"),
        (changed(token="x"), "a.json: rater: 1, but by its token this file was made by no page of this study"),
        (with_vote(seconds=-1), "a.json: votes: 0: seconds: Input should be greater than or equal to 0"),
        (changed(rater="one"), "a.json: rater: Input should be a valid integer"),
        (changed(rater="1"), "a.json: rater: Input should be a valid integer"),
        (changed(rater=1.0), "a.json: rater: Input should be a valid integer"),
        (with_vote(item=True), "a.json: votes: 0: item: Input should be a valid integer"),
        (changed(format=3), "a.json: format: Input should be 1 or 2"),
        (changed(name="Ada"), "a.json: name: Extra inputs are not permitted"),
        (with_vote(item=180), "a.json: votes: 0: item: 180, but rater 1 has items 0 to 179"),
        (with_vote(item=-1), "a.json: votes: 0: item: -1, but rater 1 has items 0 to 179"),
        (with_vote(item=1), "a.json: votes: item 1 appears 2 times; it must appear once"),
        (with_vote(question="faithfulness"), "a.json: votes: 0: question: faithfulness, but item 0 is about appeal"),
        (with_vote(answer="both"), "a.json: votes: 0: answer: 'both' is not one of left, right, tie (appeal)"),
        (with_vote(answer="LEFT"), "a.json: votes: 0: answer: Input should be 'left', 'right'"),
        (lambda file: 3, "a.json: Input should be a valid dictionary"),
        (lambda file: [file], "a.json: 0: id: Field required; export it from Label Studio as JSON (not JSON-MIN)"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_name(tmp_path, key, change, said):
    path = write(tmp_path, "a.json", change(votes_file(key, 1, honest(key, 1))))
    with pytest.raises(InputError) as error:
        load_votes([path], key)
    assert said in str(error.value)


def test_no_json_an_image_and_an_empty_folder_are_refused(tmp_path, key):
    with pytest.raises(InputError, match="no votes: put the .json files that the raters downloaded"):
        scan_votes(tmp_path)
    (tmp_path / "votes.json").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(InputError, match="votes.json: not JSON"):
        load_votes(scan_votes(tmp_path), key)


def test_two_files_of_one_rater_that_differ_are_refused(tmp_path, key):
    first = votes_file(key, 3, honest(key, 3))
    second = first | {"votes": first["votes"][:100]}
    paths = [write(tmp_path, name, file) for name, file in (("a.json", first), ("b.json", second))]
    with pytest.raises(InputError) as error:
        load_votes(paths, key)
    assert "a.json (180 votes)" in str(error.value)
    assert "b.json (100 votes) are both from rater 3 but differ" in str(error.value)


def test_keys_and_files_without_tokens_are_still_read(tmp_path, key):
    """Those of version 0.2."""
    old = key.model_copy(update={"format": 1, "tokens": []})
    file = votes_file(key, 1, honest(key, 1))
    votes = [{name: vote[name] for name in ("item", "question", "answer")} for vote in file["votes"]]
    file = {name: file[name] for name in ("experiment", "study", "rater")} | {"format": 1, "votes": votes}
    given = load_votes([write(tmp_path, "a.json", file)], old)
    assert vote_table(given, old)["seconds"].isna().all()


def test_who_does_not_look_is_found_and_who_does_is_not():
    """Default checks; honest raters err in 2 % of gold pairs and 5 % of identical ones. The table of docs/human-evaluation.md."""
    key = key_of({"raters": 80, "prompts": 10}, gold=5)
    rng = np.random.default_rng(0)

    def honest_answer(item):
        if item.kind == "gold":
            return answer(item, "", 1, rng) if rng.random() < 0.98 else "tie"
        if item.kind == "identical" and rng.random() < 0.05:
            return "left"
        return answer(item, key.pairs[item.pair].arm, 0.5, rng)

    kinds = {
        "honest": (honest_answer, 80),
        "tie": (lambda item: "tie" if item.question == "appeal" else "neither", 3),
        "tie in the second question": (lambda item: "both" if item.question != "appeal" else honest_answer(item), 80),
        "random": (lambda item: str(rng.choice(ANSWERS[item.question])), 80),
        "left": (lambda item: "left", 3),
    }
    checks = ("identical", "gold")
    caught = {}
    for kind, (answer_of, number_of_raters) in kinds.items():
        given = {
            rater: [
                Vote(item=number, question=item.question, answer=answer_of(item))
                for number, item in enumerate(key.raters[rater - 1])
                if item.kind in checks
            ]
            for rater in range(1, number_of_raters + 1)
        }
        table = rater_table(vote_table(given, key), given, key, exclude_failed=False)
        caught[kind] = (table["passed"] == "no").mean()
    assert caught["honest"] <= 0.05
    assert caught["tie"] == caught["left"] == caught["tie in the second question"] == 1
    assert caught["random"] >= 0.95


def test_without_gold_pairs_who_never_prefers_is_not_checked(tmp_path, key):
    """Identical pairs, which are all that there is to check by, are answered as they should be."""
    files = [votes_file(key, 1, ["tie" if item.question == "appeal" else "both" for item in key.raters[0]])]
    files.append(votes_file(key, 2, honest(key, 2)))
    _, raters = tables(tmp_path, key, files, exclude_failed=True)
    assert raters[["passed", "used"]].to_numpy().tolist() == [["not checked", "yes"], ["yes", "yes"]]


def test_without_checks_a_rater_is_not_checked_and_the_time_is_the_median(tmp_path):
    key = key_of({"attention_checks": 0, "prompts": 10})
    file = votes_file(key, 1, honest(key, 1))
    for number, vote in enumerate(file["votes"]):
        vote["seconds"] = float(number)
    _, raters = tables(tmp_path, key, [file], exclude_failed=True)
    assert raters[["passed", "used", "seconds"]].to_numpy().tolist() == [["not checked", "yes", 19.5]]


def test_the_checks_find_who_does_not_look(tmp_path, key):
    """One looks, one presses A whatever is shown, one presses at random, one turns round when a pair comes again."""
    rng = np.random.default_rng(0)
    left = ["left"] * len(key.raters[1])
    random = [
        str(rng.choice(["left", "right", "tie"] if item.question == "appeal" else ["left", "right", "both", "neither"]))
        for item in key.raters[2]
    ]
    turning = [
        answer(item, key.pairs[item.pair].baseline_arm if item.kind == "swapped" else key.pairs[item.pair].arm, 1, rng)
        for item in key.raters[3]
    ]
    files = [votes_file(key, n, given) for n, given in enumerate([honest(key, 1), left, random, turning], 1)]
    _, raters = tables(tmp_path, key, files)
    assert raters["passed"].tolist() == ["yes", "no", "no", "yes"]
    assert raters["seconds"].tolist() == [1.5] * 4
    assert raters["used"].tolist() == ["yes"] * 4, "nobody is left out unless the config says so"
    assert raters["identical_right"].tolist()[:2] == [10, 0]
    assert raters["swapped_same"].tolist()[:2] == [10, 0], "A again is the other image"
    assert raters["swapped_opposite"].tolist() == [0, 10, raters["swapped_opposite"][2], 10]
    assert 0 < raters["no_preference"][2] < 1
    assert raters["left"][1] == 1
    assert 0.4 < raters["left"][0] < 0.6
    assert raters["net_vote"].tolist() == [1, pytest.approx(0, abs=0.4), pytest.approx(0, abs=0.3), 1]
    _, raters = tables(tmp_path, key, files, exclude_failed=True)
    assert raters["used"].tolist() == ["yes", "no", "no", "yes"]
