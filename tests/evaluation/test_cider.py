"""CIDEr-D and its tokenizer against what pycocoevalcap and its Java gave for the same captions; VQA accuracy in closed form."""

import json
import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from emudrift.evaluation.understanding.cider import CiderD
from emudrift.evaluation.understanding.tokens import caption_tokens
from emudrift.evaluation.understanding.vqa import agreement, normalised, vqa_accuracy


@pytest.mark.parametrize(
    ("caption", "tokens"),  # All as PTBTokenizer of pycocoevalcap 1.2 gave them.
    [
        ("A man riding a wave on top of a surfboard.", "a man riding a wave on top of a surfboard"),
        (
            "It isn't; they're \"great\", aren't they?",
            "it is n't they 're great are n't they",
        ),
        (
            "Two men (one of whom is old) play chess.",
            "two men -lrb- one of whom is old -rrb- play chess",
        ),
        ("3,000 people at 10:30 a.m. on 12/25/2014", "3,000 people at 10:30 a.m. on 12/25/2014"),
        ("the U.S. flag, 50% off, $5.00 & up #1", "the u.s. flag 50 % off $ 5.00 & up # 1"),
        ("sign reads “hello” – it’s fine", "sign reads hello it 's fine"),
        ("The image shows a café with naïve décor.", "the image shows a café with naïve décor"),
        ("Close up of an hors d'oeuvre on a plate.", "close up of an hors d'oeuvre on a plate"),
        ("this is a street sign for W. Centre st.", "this is a street sign for w. centre st."),
        ("mother-in-law's house", "mother-in-law 's house"),
        ("He can't, won't, cannot, gonna go", "he ca n't wo n't can not gon na go"),
        ("the 90s, the '90s", "the 90s the '90s"),
        ("A cat sitting on top of a D.V.D player. ", "a cat sitting on top of a d.v.d player"),
        ("a dog -- and a cat - sit... here…", "a dog and a cat sit here"),
        ("日本 の 猫", "日本 の 猫"),
    ],
)
def test_captions_are_cut_as_the_penn_treebank_tokenizer_cuts_them(caption, tokens):
    assert " ".join(caption_tokens(caption)) == tokens


@pytest.fixture(scope="module")
def people(coco):
    """Five captions of each image of COCO val2017: the first, and the other four."""
    captions = defaultdict(list)
    for each in json.loads((coco / "captions_val2017.json").read_text())["annotations"]:
        captions[each["image_id"]].append(each["caption"])
    return {image: texts[0] for image, texts in captions.items()}, {
        image: texts[1:5] for image, texts in captions.items()
    }


@pytest.mark.parametrize(
    ("tokens", "score"), [(caption_tokens, 0.886518), (str.split, 0.644233)], ids=["words", "raw strings"]
)
def test_people_on_coco_score_what_pycocoevalcap_gives_them(people, tokens, score):
    """The first caption against the other four; raw strings, which some tools pass, would make people much worse."""
    first, others = people
    cider = CiderD(others, tokens)
    assert np.mean([cider.score(image, caption) for image, caption in first.items()]) == pytest.approx(score, abs=1e-5)


def cider_by_the_paper(references, image, caption, n_max=4, sigma=6.0):
    """Equation 2 and section 5 of arXiv:1411.5726 as a plain loop, over lists of words."""

    def grams(words, n):
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    total = 0.0
    for n in range(1, n_max + 1):
        seen = Counter(
            gram for texts in references.values() for gram in {g for text in texts for g in grams(text.split(), n)}
        )

        def weights(text, n=n, seen=seen):
            return {
                gram: count * math.log(len(references) / max(1, seen[gram]))
                for gram, count in grams(text.split(), n).items()
            }

        ours = weights(caption)
        for reference in references[image]:
            theirs = weights(reference)
            product = sum(min(ours[g], theirs[g]) * theirs[g] for g in ours if g in theirs)
            norms = math.sqrt(sum(w * w for w in ours.values()) * sum(w * w for w in theirs.values()))
            delta = len(caption.split()) - len(reference.split())
            total += (product / norms if norms else 0) * math.exp(-(delta**2) / (2 * sigma**2)) / len(references[image])
    return 10 * total / n_max


def test_cider_is_that_of_the_paper_for_repeated_unseen_short_and_missing_words():
    references = {
        1: ["a red dog runs on a red lawn", "the dog runs"],
        2: ["two cats sleep on the sofa", "cats on a sofa today"],
        3: ["a man reads", "a man with a book reads on the lawn"],
    }
    cider = CiderD(references, str.split)
    for caption in (
        "a dog runs on a lawn",
        "red red red red dog",
        "zebra zebra",
        "dog runs",
        "two cats on the sofa",
        "a a",
    ):
        for image in references:
            assert cider.score(image, caption) == pytest.approx(cider_by_the_paper(references, image, caption))
    assert cider.score(1, "") == 0
    without = cider_by_the_paper(references | {1: references[1][:1]}, 1, "the dog runs")
    assert cider.score(1, "the dog runs", leave_out=1) != pytest.approx(cider.score(1, "the dog runs"))
    assert without > 0


def test_accuracy_is_the_mean_over_people_left_out():
    for people in (2, 5, 10):
        for matches in range(people + 1):
            said = [1] * matches + [0] * (people - matches)
            left = [sum(said) - each for each in said]
            assert agreement(matches, people) == pytest.approx(np.mean([min(each / 3, 1) for each in left]))
    assert [round(agreement(matches, 10), 12) for matches in range(6)] == [0, 0.3, 0.6, 0.9, 1, 1]
    assert [vqa_accuracy("Two", ["2"] * k + [f"other {i}" for i in range(10 - k)]) for k in (1, 2, 3, 4)] == (
        pytest.approx([0.3, 0.6, 0.9, 1])
    )


@pytest.mark.parametrize(
    ("answer", "compared"),  # As the official code and lmms-eval's copy of it normalise them.
    [
        ("The two Dogs.", "2 dogs"),
        ("none", "0"),
        ("3,000", "3000"),
        ("red/white", "red white"),
        ("red / white", "red white"),
        ("t-shirt", "t shirt"),
        ("black and white - striped", "black and white striped"),
        ("dont know", "don't know"),
        ("it's 10:30", "it's 10:30"),
        ("couldnt've", "couldn't've"),
        ("2.5", "2.5"),
        ("U.S.", "us"),
        (" yes\n", "yes"),
        ("1,5 - 2-3", "15 23"),
        ("A", ""),
    ],
)
def test_answers_are_compared_as_the_official_code_compares_them(answer, compared):
    assert normalised(answer) == compared


def test_what_people_agree_on_is_normalised_as_well():
    assert vqa_accuracy("2", ["two"] * 10) == 1
    assert vqa_accuracy("the dog's", [*["dog's"] * 3, *["cat"] * 7]) == pytest.approx(0.9)
