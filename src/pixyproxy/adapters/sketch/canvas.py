"""A drawing surface in units of the picture's shorter side, with the shapes that scenes use."""

import math
from collections.abc import Sequence
from random import Random

from PIL import Image, ImageDraw

from pixyproxy.adapters.sketch.palette import Colour, Palette, mix

Points = Sequence[tuple[float, float]]


class Canvas:
    """Drawing surface filled with sky; coordinates run from 0 to `w` and 0 to `h`; the shorter side is 1."""

    def __init__(self, width: int, height: int, palette: Palette, random: Random, *, transparent: bool) -> None:
        self.unit = float(min(width, height))
        self.w, self.h = width / self.unit, height / self.unit
        self.palette = palette
        self.random = random
        self.transparent = transparent
        if transparent:
            # The invisible background has the sky's colour, so that soft edges fade into it.
            self.image = Image.new("RGBA", (width, height), (*palette.sky_bottom, 0))
        else:
            self.image = gradient((width, height), palette.sky_top, palette.sky_bottom)
        self._draw = ImageDraw.Draw(self.image)

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * self.unit, y * self.unit) for x, y in points], fill=colour)

    def shape(self, x: float, y: float, size: float, points: Points, colour: Colour) -> None:
        """Fill a polygon of points relative to (x, y), in units of `size`."""
        self.polygon([(x + size * dx, y + size * dy) for dx, dy in points], colour)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self._draw.rectangle([v * self.unit for v in (left, top, right, bottom)], fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        self._draw.ellipse([v * self.unit for v in (x - radius, y - radius, x + radius, y + radius)], fill=colour)

    def pie(self, x: float, y: float, radius: float, start: float, end: float, colour: Colour) -> None:
        """Fill a sector of a circle; angles are in degrees clockwise from the right."""
        box = [v * self.unit for v in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.pieslice(box, start, end, fill=colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """Draw a line through all points."""
        scaled = [(x * self.unit, y * self.unit) for x, y in points]
        self._draw.line(scaled, fill=colour, width=max(1, round(width * self.unit)), joint="curve")

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add light that fades outwards from `strength` (0 to 1) in its middle."""
        side = max(1, round(2 * radius * self.unit))
        # Pillow's radial gradient reaches 180 in the middle of its edges, where the light must have faded out.
        fading = [round(strength * 255 * max(0.0, 1 - v / 179) ** 2) for v in range(256)]
        mask = Image.radial_gradient("L").point(fading)
        place = (round((x - radius) * self.unit), round((y - radius) * self.unit))
        self.image.paste((*colour, 255)[: len(self.image.getbands())], place, mask.resize((side, side)))

    def fade(self, top: float, bottom: float, one: Colour, two: Colour) -> None:
        """Fill a band across the whole width with a gradient, downwards."""
        first, last = round(top * self.unit), round(bottom * self.unit)
        if last > first:
            band = gradient((self.image.width, last - first), one, two)
            self.image.paste(band, (0, first))

    def sun(self, x: float, y: float, radius: float) -> None:
        """Draw the sun or the moon with its glow."""
        self.glow(x, y, radius * 4.5, self.palette.light, 0.55)
        self.disc(x, y, radius, self.palette.light)

    def ridge(self, base: float, rise: float, waves: int) -> list[tuple[float, float]]:
        """Return the upper edge of rolling land around the height `base`, a smooth sum of waves."""
        parts = [
            (rise / (n + 1), self.random.uniform(0, math.tau), (n + self.random.uniform(0.6, 1.4)) * 2.1)
            for n in range(waves)
        ]
        steps = 160
        xs = [self.w * i / steps for i in range(steps + 1)]
        return [(x, base - sum(a * math.sin(p + f * x) for a, p, f in parts)) for x in xs]

    def land(self, edge: Points, colour: Colour) -> None:
        """Fill everything below an edge."""
        self.polygon([*edge, (self.w, self.h), (0, self.h)], colour)

    def depth(self, share: float) -> Colour:
        """Return the colour of land, from the farthest (0) to the nearest (1)."""
        return mix(self.palette.far, self.palette.near, share)


def gradient(size: tuple[int, int], one: Colour, two: Colour) -> Image.Image:
    """Return a picture that changes from one colour at its top to another at its bottom."""
    column = Image.new("RGB", (1, size[1]))
    last = max(1, size[1] - 1)
    column.putdata([mix(one, two, y / last) for y in range(size[1])])
    return column.resize(size, Image.Resampling.NEAREST)
