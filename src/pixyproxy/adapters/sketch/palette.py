"""Matching colours, chosen by a random source."""

import math
from dataclasses import dataclass
from random import Random

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one sketch; land is painted between `far` and `near`."""

    sky_top: Colour
    sky_bottom: Colour
    light: Colour
    far: Colour
    near: Colour
    accents: tuple[Colour, Colour, Colour]
    dark: bool


def choose_palette(random: Random) -> Palette:
    """Return a palette of one main hue, its neighbours and one contrasting hue, for a time of day."""
    time = int(random.random() * 4)
    # No olive skies, and dark ones only from teal to violet or red: brown darkness looks like mud.
    first, last = ((150, 435), (150, 435), (195, 380), (195, 320))[time]
    hue = random.uniform(first, last)
    turn = (30, 60, 150, 180, 210)[int(random.random() * 5)]
    other = hue + turn
    # Lightness of the sky's top and bottom, of the farthest and the nearest land, and how strong colours are.
    top, bottom, far, near, chroma = (
        (0.80, 0.95, 0.78, 0.36, 0.08),  # morning
        (0.70, 0.90, 0.70, 0.34, 0.10),  # day
        (0.42, 0.83, 0.58, 0.22, 0.13),  # dusk
        (0.20, 0.46, 0.40, 0.14, 0.07),  # night
    )[time]
    return Palette(
        sky_top=oklch(top, chroma, hue),
        sky_bottom=oklch(bottom, chroma * 0.9, other),
        light=oklch(0.96, 0.03, other) if time == 3 else oklch(0.96, 0.07, random.uniform(60, 105)),
        far=oklch(far, chroma * 0.9, (hue + other) / 2),
        near=oklch(near, chroma * 0.8, hue + 15),
        accents=(oklch(0.70, 0.15, other), oklch(0.62, 0.14, other + 40), oklch(0.80, 0.12, hue - 40)),
        dark=time == 3,
    )


def mix(one: Colour, two: Colour, share: float) -> Colour:
    """Blend two colours; `share` (0 to 1) is that of the second."""
    r, g, b = (round(a + (z - a) * share) for a, z in zip(one, two, strict=True))
    return r, g, b


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """Convert from OKLCH, where equal lightness looks equally light (https://bottosson.github.io/posts/oklab/)."""
    angle = math.radians(hue)
    a, b = chroma * math.cos(angle), chroma * math.sin(angle)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _gamma(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    value = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(value * 255)
