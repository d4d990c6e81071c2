"""What raters are shown: which pairs, in which order, at which sides, and what a change of the config does to it."""

from collections import Counter

import pytest
from conftest import small_config
from ratings import PROMPTS, experiment_of, key_of, three_arms

from emudrift.config.reader import parse_config
from emudrift.errors import InputError
from emudrift.evaluation.human.study import (
    DEGRADED,
    OTHER,
    PHOTOGRAPH,
    design_study,
    load_key,
    make_key,
    rated_set,
    write_key,
)


def scales(key):
    return [(pair.model, pair.baseline, pair.guidance_scale) for pair in key.pairs]


def test_every_model_meets_the_baseline_at_each_scale():
    assert scales(key_of()) == [("finetuned", "base", 1), ("finetuned", "base", 3)]


def test_pairs_can_be_chosen():
    assert scales(key_of({"pairs": [{"model": "finetuned", "guidance_scale": 3}]})) == [("finetuned", "base", 3)]
    assert scales(key_of({"pairs": [{"model": "base", "against": "finetuned", "guidance_scale": 1}]})) == [
        ("base", "finetuned", 1)
    ]


def test_images_of_unknown_scale_meet_every_arm_and_the_tokenizer_meets_none():
    models = [
        *small_config()["models"],
        {"name": "others", "generator": "folder", "images": "demo/data/images"},
        {"name": "tokenizer", "generator": "tokenizer", "of": "base"},
    ]
    assert scales(key_of(models=models)) == [
        ("finetuned", "base", 1),
        ("finetuned", "base", 3),
        ("others", "base", 1),
        ("others", "base", 3),
    ]


def test_each_rater_sees_every_pair_once_appeal_first_and_the_checks():
    key = key_of({"attention_checks": 4})
    assert len(key.raters) == 5
    for items in key.raters:
        assert [item.question for item in items] == sorted(item.question for item in items), "appeal comes first"
        for question in ("appeal", "faithfulness"):
            ours = [item for item in items if item.question == question]
            assert Counter(item.kind for item in ours) == {"rated": 2 * PROMPTS, "identical": 4, "swapped": 4}
            rated = {(i.pair, i.prompt_id): (n, i) for n, i in enumerate(ours) if i.kind == "rated"}
            assert len(rated) == 2 * PROMPTS
            for number, item in enumerate(ours):
                pair = key.pairs[item.pair]
                if item.kind == "identical":
                    assert item.left == item.right
                else:
                    assert {item.left, item.right} == {pair.arm, pair.baseline_arm}
                if item.kind == "swapped":
                    before, first = rated[item.pair, item.prompt_id]
                    assert number - before >= PROMPTS // 2, "many others lie between"
                    assert (first.left, first.right) == (item.right, item.left)


def test_gold_pairs_stand_among_the_others():
    plain, key = key_of(), key_of(gold=5)
    for before, items in zip(plain.raters, key.raters, strict=True):
        gold = [item for item in items if item.kind == "gold"]
        for question, worse in (("appeal", DEGRADED), ("faithfulness", OTHER)):
            ours = [item for item in gold if item.question == question]
            assert sorted(item.prompt_id for item in ours) == ["000", "001", "002", "003", "004"]
            assert all({item.left, item.right} == {PHOTOGRAPH, worse} for item in ours)
        assert [item for item in items if item.kind != "gold"] == before
    places = [n for items in key.raters for n, item in enumerate(items) if item.kind == "gold"]
    assert max(places) - min(places) > 40
    sides = [item.left for items in key.raters for item in items if item.kind == "gold"]
    assert 12 < sides.count(PHOTOGRAPH) < 38
    assert key.study != plain.study


def test_each_question_has_its_raters():
    key = key_of({"raters": {"appeal": 5, "faithfulness": 3}})
    both = key_of()
    assert key.raters[:3] == both.raters[:3]
    assert all({item.question for item in items} == {"appeal"} for items in key.raters[3:])
    assert (key.study, key.tokens[:3]) == (both.study, both.tokens[:3])
    assert len(set(both.tokens)) == 5


def test_sides_and_order_are_random_and_differ_between_raters():
    key = key_of()
    left = [item.left == key.pairs[item.pair].arm for items in key.raters for item in items if item.kind == "rated"]
    assert len(left) == 800
    assert 0.5 - 0.07 < sum(left) / len(left) < 0.5 + 0.07  # four standard errors
    assert len({tuple(item.prompt_id for item in items) for items in key.raters}) == 5
    sides = [{(i.question, i.pair, i.prompt_id): i.left for i in items if i.kind == "rated"} for items in key.raters]
    assert all(a != b for n, a in enumerate(sides) for b in sides[:n])
    both = [sides[0][question, 0, each] for question in ("appeal", "faithfulness") for each in key.prompts]
    assert both[:PROMPTS] != both[PROMPTS:], "nor does the second question repeat the sides of the first"


@pytest.mark.parametrize(("raters", "split"), [(3, 1), (6, 2), (6, 3), (8, 4), (14, 7)])
def test_every_pair_of_arms_and_every_prompt_is_seen_equally_often_on_both_sides(raters, split):
    """Three arms, 40 prompts: over raters exactly, for each rater to within one."""
    key = key_of(**three_arms({"raters": raters, "split": split, "attention_checks": 2}))
    assert [(pair.baseline, pair.model) for pair in key.pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    for question in ("appeal", "faithfulness"):
        rated = [[item for item in items if (item.question, item.kind) == (question, "rated")] for items in key.raters]
        seen = Counter((item.pair, item.prompt_id) for items in rated for item in items)
        assert set(seen.values()) == {raters // split}
        assert len(seen) == 3 * PROMPTS
        together = [{(item.pair, item.prompt_id) for items in rated[n : n + split] for item in items}
                    for n in range(0, raters, split)]  # fmt: skip
        assert all(len(each) == 3 * PROMPTS for each in together), "each lap of raters sees everything once"
        for items in rated:
            assert len(items) == len({(item.pair, item.prompt_id) for item in items})
            spread(Counter(item.pair for item in items), 3)
            spread(Counter(item.prompt_id for item in items), PROMPTS)
            for pair in range(3):
                left = Counter(item.left for item in items if item.pair == pair)
                spread(left, 2)
        if (raters // split) % 2 == 0:
            assert set(Counter((i.pair, i.prompt_id, i.left) for items in rated for i in items).values()) == {
                raters // split // 2
            }, "over raters, each image of each pair stands on each side equally often"
    many = key_of(**three_arms({"raters": raters + split, "split": split, "attention_checks": 2}))
    assert many.raters[:raters] == key.raters
    assert many.study == key.study


def spread(counts, possible):
    """All counts are equal, or differ by one."""
    values = list(counts.values()) + [0] * (possible - len(counts))
    assert max(values) - min(values) <= 1, counts


def test_raters_who_are_not_divided_evenly_are_refused():
    for section, said in (
        ({"raters": 5, "split": 3}, "raters: appeal: 5 is not a multiple of split, 3"),
        (
            {"raters": {"appeal": 4, "faithfulness": 3}, "split": 2},
            "raters: faithfulness: 3 is not a multiple of split, 2",
        ),
        ({"raters": 50, "split": 50}, "split: 50 is more than the prompts, 40"),
        ({"pairs": [{"model": "finetuned"}], "all_pairs": True}, "pairs: remove them, or all_pairs"),
    ):
        with pytest.raises(InputError) as error:
            experiment_of(section)
        assert f"human_evaluation: {said}" in str(error.value)


def test_one_set_of_prompts_is_rated_and_named():
    """The first, or the one that is asked for: never arms of one set against those of another."""
    prompts = small_config()["prompts"]
    sets = [
        {"name": "first", **prompts},
        {"name": "second", "captions": "demo/data/other.json", "images": "demo/others", "sample_sizes": [30]},
    ]
    more = {"prompts": sets, "reference": {"images": "dataset"}, "metrics": ["fid", "kid"]}
    for section, name, n in (({}, "first", PROMPTS), ({"prompt_set": "second"}, "second", 30)):
        experiment = experiment_of(section | {"attention_checks": 1}, **more)
        rated, design = rated_set(experiment), design_study(experiment)
        assert (rated.prompt_set, design.prompts) == (name, n)
        assert design == design_study(rated)
        assert {experiment.arm(arm).prompt_set for arm in design.arms} == {name}
        images = {arm: {"000": "a.png", "001": "b.png", "002": "c.png"} for arm in design.arms}
        assert make_key(rated, design, images).prompt_set == name
    for sets_of, names in ((more, "['first', 'second']"), ({}, "[]")):
        with pytest.raises(InputError) as error:
            experiment_of({"prompt_set": "third"}, **sets_of)
        assert f"prompt_set: 'third' is none of the sets of prompts, {names}" in str(error.value)


def test_equal_inputs_give_an_equal_key_and_whatever_raters_see_changes_the_study(tmp_path):
    write_key(tmp_path / "one.json", key_of())
    write_key(tmp_path / "two.json", key_of())
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert load_key(tmp_path / "one.json") == key_of()
    others = [
        key_of({"pairs": [{"model": "finetuned"}], "prompts": 20}),
        key_of({"prompts": 30}),
        key_of({"attention_checks": 3}),
        key_of(seed=1),
    ]
    assert len({key_of().study, *(key.study for key in others)}) == 5
    assert key_of({"exclude_failed": True}).study == key_of().study, "what is done with votes later changes no page"
    experiment = experiment_of()
    images = {arm: dict(names) for arm, names in key_of().images.items()}
    images[next(iter(images))]["000"] = "another.png"
    assert make_key(experiment, design_study(experiment), images).study != key_of().study


def test_the_section_changes_no_arm():
    without = parse_config(small_config(), "x")
    assert without.human_evaluation.raters.most == 5
    assert experiment_of({"raters": 7, "prompts": 20}).arms() == experiment_of().arms()
    assert design_study(experiment_of()).prompts == 40
    assert design_study(experiment_of(sample_sizes=[500])).prompts == 100


def test_more_raters_can_be_asked_later():
    few, many = key_of({"raters": 2}), key_of({"raters": 7})
    assert many.raters[:2] == few.raters
    assert many.study == few.study


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"prompts": 41}, "human_evaluation: prompts: 41 is more than the largest of sample_sizes, 40"),
        ({"rater": 5}, "human_evaluation: rater: unknown key; did you mean 'raters'?"),
        ({"raters": 0}, "human_evaluation: raters: appeal: Input should be greater than or equal to 1 (found 0)"),
        ({"raters": {"appeal": 5}}, "human_evaluation: raters: faithfulness: this key is missing"),
        ({"pairs": []}, "human_evaluation: pairs: List should have at least 1 item"),
        (
            {"pairs": [{"model": "tuned"}]},
            "human_evaluation: pairs: 'tuned' is none of the models that generate images, ['base', ",
        ),
        ({"pairs": [{"modl": "tuned"}]}, "human_evaluation: pairs: [0]: modl: unknown key; did you mean 'model'?"),
        ({"pairs": [{"model": "base", "guidance_scale": 2}]}, "pairs: guidance_scale: 2 is none of 1, 3"),
    ],
)
def test_a_wrong_section_is_refused(section, said):
    with pytest.raises(InputError) as error:
        experiment_of(section)
    assert said in str(error.value)


def test_nothing_to_compare_and_too_many_checks_are_errors():
    with pytest.raises(InputError, match="there are no two arms to compare"):
        experiment = experiment_of(models=small_config()["models"][:1])
        make_key(experiment, design_study(experiment), {})
    with pytest.raises(
        InputError, match="41 is more than half of the 80 pairs of images that a rater sees; ask for at most 40"
    ):
        key_of({"attention_checks": 41})


def test_no_key_and_a_broken_one_are_errors(tmp_path):
    with pytest.raises(InputError, match="run `snakemake human_evaluation_pages` before"):
        load_key(tmp_path / "key.json")
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(InputError, match="recreate it"):
        load_key(tmp_path / "key.json")
