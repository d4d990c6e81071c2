"""Figures of docs/understanding.md: tokenizer and document frequencies of CIDEr-D on COCO's captions, coverage of intervals.

python bench/understanding.py captions_val2017.json     two minutes on one core; needs nothing else
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from emudrift.evaluation.intervals import mean_interval
from emudrift.evaluation.understanding.cider import CiderD

REPETITIONS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, help="captions of COCO")
    captions: dict[int, list[str]] = defaultdict(list)
    for each in json.loads(parser.parse_args().captions.read_text())["annotations"]:
        captions[each["image_id"]].append(each["caption"])
    people(captions)
    frequencies(captions)
    coverage(captions)


def people(captions: dict[int, list[str]]) -> None:
    """The first caption of each image against the other four."""
    others = {image: texts[1:5] for image, texts in captions.items()}
    for name, arguments in (("words", ()), ("raw strings", (str.split,))):
        cider = CiderD(others, *arguments)
        scores = [cider.score(image, texts[0]) for image, texts in captions.items()]
        print(f"CIDEr-D of people, {name}: {np.mean(scores):.4f}, {len(scores):,} images")


def frequencies(captions: dict[int, list[str]]) -> None:
    """The same captions with document frequencies of the images at hand, and of all."""
    others, drawn = {image: texts[1:5] for image, texts in captions.items()}, np.random.default_rng(0)
    full = CiderD(others)
    for n, repetitions in ((100, 8), (250, 8), (1000, 8), (2500, 3)):
        scores = []
        for _ in range(repetitions):
            chosen = drawn.permutation(list(captions))[:n].tolist()
            own = CiderD({image: others[image] for image in chosen})
            scores.append([[each.score(i, captions[i][0]) for i in chosen] for each in (own, full)])
        of_own, of_all = np.mean(scores, axis=(0, 2))
        print(f"N = {n:,}: {of_own:.3f} with document frequencies of these images, {of_all:.3f} with those of all")


def coverage(captions: dict[int, list[str]]) -> None:
    """How often the 95 % t interval over images holds the truth: differences of two people's captions, and of VQA accuracies.

    VQA: three questions for each image, of which an image's share is answered better, and another worse; and a change for the
    better in 5 % of images alone.
    """
    rest = CiderD({image: texts[2:5] for image, texts in captions.items()})
    first, second = (np.array([rest.score(i, texts[k]) for i, texts in captions.items()]) for k in (0, 1))
    drawn = np.random.default_rng(0)
    for n in (20, 50, 100, 500):
        hits = np.zeros(4)
        for _ in range(REPETITIONS):
            rows = drawn.integers(len(first), size=n)
            better, worse = drawn.beta(0.5, 9.5, (n, 1)), drawn.beta(0.5, 4.5, (n, 1))
            luck = drawn.random((n, 3))
            questions = (luck < better).astype(float) - (luck > 1 - worse)
            samples = [
                (first[rows], (), first.mean()),
                (first[rows] - second[rows], (), (first - second).mean()),
                (questions.ravel(), np.repeat(np.arange(n), 3), -0.05),
                ((drawn.random(n) < 0.05).astype(float), (), 0.05),
            ]
            for place, (values, groups, truth) in enumerate(samples):
                found = mean_interval(values, groups)
                hits[place] += found.low <= truth <= found.high
        score, difference, questions, rare = hits / REPETITIONS
        print(f"{n} images: coverage {score:.3f} (CIDEr), {difference:.3f} (its difference), ", end="")
        print(f"{questions:.3f} (three questions each), {rare:.3f} (rare)")


if __name__ == "__main__":
    main()
