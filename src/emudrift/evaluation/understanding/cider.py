"""CIDEr-D, how much a caption agrees with those of people, image by image."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emudrift.evaluation.understanding.tokens import caption_tokens

LONGEST, SIGMA, SCALE = 4, 6.0, 10.0
"""n-grams of 1 to 4 words; width of the penalty on lengths, in words; the factor that makes it about 1 for people."""
Gram = tuple[str, ...]


@dataclass(frozen=True)
class _Vector:
    """The tf-idf weights of a caption, by length of the n-grams."""

    weights: list[dict[Gram, float]]
    norms: np.ndarray
    bigrams: int


class CiderD:
    """Scores captions of images by CIDEr-D (Vedantam, Zitnick & Parikh 2015, arXiv:1411.5726, equation 2 and section 5).

    As coco-caption computes it: for each n, the product of the weights of n-grams that candidate and reference share, the
    candidate's clipped at the reference's, over both norms; times exp(−δ²/2σ²) for lengths that differ by δ; mean over n and
    over references; times 10. An n-gram weighs its count times log(M / images that have it among their references). These
    document frequencies come from all M images that there are references of: taken from the images at hand, as is common, they
    make the score drift with their number (docs/understanding.md).

    Args:
        references: captions of people for every image of the dataset, whether or not it is scored.
        tokens: what cuts a caption into words.
    """

    def __init__(
        self, references: Mapping[int, Sequence[str]], tokens: Callable[[str], list[str]] = caption_tokens
    ) -> None:
        self._tokens = tokens
        self._grams = {image: [self._count(text) for text in texts] for image, texts in references.items()}
        images: Counter[Gram] = Counter(gram for counts in self._grams.values() for gram in set().union(*counts))
        most = np.log(len(self._grams))
        self._rarity = {gram: float(most - np.log(there)) for gram, there in images.items()}
        self._unseen = float(most)
        self._vectors: dict[int, list[_Vector]] = {}

    def score(self, image: int, caption: str, leave_out: int | None = None) -> float:
        """The score of a caption of one of the images; without its reference at the place `leave_out`, for scoring people."""
        if image not in self._vectors:
            self._vectors[image] = [self._vector(counts) for counts in self._grams[image]]
        ours = self._vector(self._count(caption))
        theirs = [each for place, each in enumerate(self._vectors[image]) if place != leave_out]
        return SCALE * float(np.mean([_similarity(ours, each) for each in theirs]))

    def _count(self, caption: str) -> Counter[Gram]:
        words = self._tokens(caption)
        return Counter(
            tuple(words[start : start + n]) for n in range(1, LONGEST + 1) for start in range(len(words) - n + 1)
        )

    def _vector(self, counts: Counter[Gram]) -> _Vector:
        weights: list[dict[Gram, float]] = [{} for _ in range(LONGEST)]
        for gram, count in counts.items():
            weights[len(gram) - 1][gram] = count * self._rarity.get(gram, self._unseen)
        norms = np.sqrt([sum(weight**2 for weight in each.values()) for each in weights])
        # coco-caption measures lengths in bigrams.
        return _Vector(weights, norms, sum(count for gram, count in counts.items() if len(gram) == 2))


def _similarity(ours: _Vector, theirs: _Vector) -> float:
    shared = [
        sum(min(weight, other[gram]) * other[gram] for gram, weight in mine.items() if gram in other)
        for mine, other in zip(ours.weights, theirs.weights, strict=True)
    ]
    norms = ours.norms * theirs.norms
    cosines = np.divide(shared, norms, out=np.zeros(LONGEST), where=norms > 0)
    return float(cosines.mean() * np.exp(-((ours.bigrams - theirs.bigrams) ** 2) / (2 * SIGMA**2)))
