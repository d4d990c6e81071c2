"""The metrics of seeing and drawing in words, with their units and directions."""

from dataclasses import dataclass

from emudrift.config.extractors import distance_name
from emudrift.report.elements.wording import decimals, number


@dataclass(frozen=True)
class Unit:
    """How a metric's values are written: `name`, factor, and what follows a value and a difference."""

    name: str
    factor: float = 1.0
    of_value: str = ""
    of_difference: str = ""

    def value(self, value: float, low: float, high: float) -> str:
        """`34.2 % [29.7 to 38.2]`."""
        return self._text(value, low, high, False, self.of_value)

    def difference(self, value: float, low: float, high: float) -> str:
        """`+20.5 points [16.2 to 24.8]`."""
        return self._text(value, low, high, True, self.of_difference)

    def amount(self, value: float, difference: bool = True) -> str:
        """A margin: `2 points`."""
        return f"{self.factor * value:g}{self.of_difference if difference else self.of_value}"

    def _text(self, value: float, low: float, high: float, signed: bool, unit: str) -> str:
        value, low, high = (self.factor * each for each in (value, low, high))
        places = decimals(high - low, *(() if low <= 0 <= high else (low, high)))
        text = number(value, places, signed=signed)
        unit = unit.removesuffix("s") if text in ("+1", "−1") else unit
        return f"{text}{unit} [{number(low, places)} to {number(high, places)}]"


SPACE = "\N{NO-BREAK SPACE}"
SEEING = {
    "vqa_accuracy": Unit("VQA accuracy", 100, f"{SPACE}%", " points"),
    "cider": Unit("CIDEr-D"),
}


def seeing_unit(metric: str) -> Unit:
    return SEEING.get(metric, Unit(metric))


def drawing_unit(metric: str, extractor: str) -> Unit:
    return Unit("CLIPScore" if metric == "clip_score" else distance_name(extractor))


def share_text(value: float, low: float, high: float, *, rest: bool = False) -> str:
    """`60 % [48 to 72]`; `rest`: of what is left of a whole."""
    value, low, high = (1 - value, 1 - high, 1 - low) if rest else (value, low, high)
    shown = [number(100 * each, 0) for each in (value, low, high)]
    return f"{shown[0]}{SPACE}% [{shown[1]} to {shown[2]}]"
