"""The official VQA accuracy: normalisation of answers, and agreement with those of people."""

import re
from collections.abc import Sequence

ENOUGH = 3
"""People who gave an answer and make it right."""
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS = {word: str(number) for number, word in enumerate(_NUMBERS)} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_FULL_STOP = re.compile(r"\.(?!\d)")
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
# What is written without an apostrophe is given it back; "hell" or "were" are words, and stay.
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's how'd
    how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock oughtn't
    'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
    someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's they'd they'd've
    they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've
    who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd
    you'd've you'll you're you've
"""
_APOSTROPHES = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTED.split()
    for place, each in enumerate(word)
    if each == "'"
}


def normalised(answer: str) -> str:
    """An answer as it is compared: lower case, digits for number words, no articles, no punctuation, apostrophes given back.

    Punctuation is removed next to a space, and everywhere in an answer with a number such as 3,000; else a space replaces it.
    Full stops stay before digits; apostrophes and colons stay. Source: Antol et al. 2015 (arXiv:1505.00468) and their evaluation
    code (visualqa.org/evaluation.html), with one exception: it leaves people's answers as they are where all agree, so that
    a right "two" counts as wrong.
    """
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    found = text
    for mark in _PUNCTUATION:
        alone = f"{mark} " in text or f" {mark}" in text or _COMMA_IN_NUMBER.search(text) is not None
        found = found.replace(mark, "" if alone else " ")
    words = [_WORDS.get(word, word) for word in _FULL_STOP.sub("", found).lower().split()]
    return " ".join(_APOSTROPHES.get(word, word) for word in words if word not in _ARTICLES)


def agreement(matches: int, people: int) -> float:
    """The accuracy of an answer that `matches` of so many people gave: the mean over people left out of min(matches left / 3, 1).

    With ten people, .3, .6, .9 and 1 for 1, 2, 3 and 4 matches.
    """
    without_a_match = min((matches - 1) / ENOUGH, 1.0) if matches else 0.0
    return (matches * without_a_match + (people - matches) * min(matches / ENOUGH, 1.0)) / people


def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """The official accuracy, 0 to 1, of one answer.

    Args:
        people: answers of people, two or more, mostly ten.
    """
    ours = normalised(answer)
    return agreement(sum(normalised(theirs) == ours for theirs in people), len(people))
