"""A plot of dots as plain SVG: time to the right, a logarithm upwards, every series with its name below."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 1080, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 1050, 60, 400
_FONT = 'font-family="DejaVu Sans, Verdana, sans-serif" font-size="14"'


@dataclass(frozen=True, slots=True)
class Axis:
    """`step` is between two marks: added to the right, multiplied upwards."""

    least: float
    most: float
    step: float
    title: str


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    colour: str
    dots: Sequence[tuple[float, float]]
    radius: float


@dataclass(frozen=True, slots=True)
class Plot:
    """`level` is a value to compare with, and what it is."""

    title: str
    description: str
    across: Axis
    up: Axis
    series: Sequence[Series]
    level: tuple[float, str]

    def svg(self) -> str:
        size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_FONT} role="img" aria-labelledby="t d">',
                f'<title id="t">{escape(self.title)}</title>',
                f'<desc id="d">{escape(self.description)}</desc>',
                f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
                f'<text x="{_LEFT}" y="32" font-size="17" font-weight="bold">{escape(self.title)}</text>',
                *self._marks_upwards(),
                *self._marks_across(),
                *self._level(),
                *(line for one in self.series for line in self._dots(one)),
                *self._names(),
                "</svg>\n",
            ]
        )

    def _x(self, value: float) -> float:
        share = (value - self.across.least) / (self.across.most - self.across.least)
        return _LEFT + share * (_RIGHT - _LEFT)

    def _y(self, value: float) -> float:
        share = math.log(value / self.up.least) / math.log(self.up.most / self.up.least)
        return _BOTTOM - share * (_BOTTOM - _TOP)

    def _marks_upwards(self) -> Iterator[str]:
        yield '<g stroke="#ddd" fill="none">'
        for value in _multiplied(self.up):
            yield f'<path d="M{_LEFT} {self._y(value):.1f}H{_RIGHT}"/>'
        yield '</g><g text-anchor="end" fill="#555">'
        for value in _multiplied(self.up):
            yield f'<text x="{_LEFT - 8}" y="{self._y(value) + 5:.1f}">{value:,.0f}</text>'
        middle = (_TOP + _BOTTOM) / 2
        yield "</g>"
        yield (
            f'<text transform="translate(28 {middle}) rotate(-90)" text-anchor="middle">{escape(self.up.title)}</text>'
        )

    def _marks_across(self) -> Iterator[str]:
        yield f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" stroke="#333" fill="none"/>'
        yield '<g text-anchor="middle" fill="#555">'
        value = self.across.least
        while value <= self.across.most:
            yield f'<text x="{self._x(value):.1f}" y="{_BOTTOM + 20}">{value:,.0f}</text>'
            value += self.across.step
        yield "</g>"
        middle = (_LEFT + _RIGHT) / 2
        yield f'<text x="{middle}" y="{_BOTTOM + 44}" text-anchor="middle">{escape(self.across.title)}</text>'

    def _level(self) -> Iterator[str]:
        value, name = self.level
        y = self._y(value)
        yield f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="#a33" stroke-dasharray="6 4"/>'
        yield f'<text x="{_RIGHT}" y="{y - 7:.1f}" text-anchor="end" fill="#a33">{escape(name)}</text>'

    def _dots(self, series: Series) -> Iterator[str]:
        yield f'<g fill="{series.colour}">'
        for x, y in series.dots:
            yield f'<circle cx="{self._x(x):.1f}" cy="{self._y(max(y, self.up.least)):.1f}" r="{series.radius:g}"/>'
        yield "</g>"

    def _names(self) -> Iterator[str]:
        width = (_RIGHT - _LEFT) / len(self.series)
        for n, one in enumerate(self.series):
            x, y = _LEFT + n * width, _HEIGHT - 32
            yield f'<circle cx="{x + 6:.0f}" cy="{y - 5}" r="5" fill="{one.colour}"/>'
            yield f'<text x="{x + 18:.0f}" y="{y}">{escape(one.name)}</text>'


def _multiplied(axis: Axis) -> Iterator[float]:
    value = axis.least
    while value <= axis.most:
        yield value
        value *= axis.step
