"""Motifs of the sketches: hills, mountains, a sea, a town, and a pattern of shapes."""

import math
from collections.abc import Callable

from pixyproxy.adapters.sketch.canvas import Canvas
from pixyproxy.adapters.sketch.palette import Colour, mix


def draw_scene(canvas: Canvas) -> None:
    """Draw one of the motifs, chosen by the canvas' random source."""
    motifs: tuple[Callable[[Canvas], None], ...] = (_hills, _mountains, _sea, _town, _shapes)
    motifs[int(canvas.random.random() * len(motifs))](canvas)


def _hills(canvas: Canvas) -> None:
    random = canvas.random
    _sky(canvas, random.uniform(0.22, 0.42))
    layers = 5
    for n in range(layers):
        share = n / (layers - 1)
        edge = canvas.ridge(canvas.h * (0.5 + 0.34 * share), 0.05 + 0.03 * random.random(), 4)
        colour = canvas.depth(share)
        canvas.land(edge, colour)
        if n >= 2:
            for _ in range(int(random.uniform(4, 14))):
                x, y = edge[int(random.random() * len(edge))]
                _tree(canvas, x, y + 0.006, 0.035 + 0.05 * share * random.uniform(0.6, 1), mix(colour, (0, 0, 0), 0.18))


def _tree(canvas: Canvas, x: float, y: float, height: float, colour: Colour) -> None:
    for level in range(3):
        top = y - height * (0.45 + 0.275 * level)
        half = height * (0.30 - 0.07 * level)
        foot = top + height * 0.34
        canvas.polygon([(x - half, foot), (x + half, foot), (x, top - height * 0.1)], colour)
    canvas.rectangle(x - height * 0.03, y - height * 0.14, x + height * 0.03, y, colour)


def _mountains(canvas: Canvas) -> None:
    random = canvas.random
    _sky(canvas, random.uniform(0.18, 0.34))
    for n in range(3):
        share = 0.1 + 0.3 * n
        base = canvas.h * (0.62 + 0.1 * n)
        peaks = max(2, round(canvas.w * (2 + n)))
        colour = canvas.depth(share)
        snow = mix(canvas.palette.light, colour, 0.15 + 0.25 * n)
        for i in range(peaks + 1):
            x = canvas.w * (i + random.uniform(-0.3, 0.3)) / peaks
            height = random.uniform(0.20, 0.42) * (1 - 0.18 * n)
            half = height * random.uniform(0.85, 1.15)
            top = (x, base - height)
            canvas.polygon([(x - half, base), top, (x + half, base)], colour)
            canvas.polygon([(x, base), top, (x + half, base)], mix(colour, canvas.palette.near, 0.22))
            a, b = 0.26 * half, 0.26 * height
            zigzag = [(x + a, base - height + b), (x + a * 0.45, base - height + b * 0.72)]
            zigzag += [(x, base - height + b * 1.15), (x - a * 0.5, base - height + b * 0.75)]
            canvas.polygon([top, *zigzag, (x - a, base - height + b)], snow)
        canvas.land([(0, base), (canvas.w, base)], colour)
    for n in range(2):
        canvas.land(canvas.ridge(canvas.h * (0.80 + 0.07 * n), 0.03, 4), canvas.depth(0.75 + 0.25 * n))


def _sea(canvas: Canvas) -> None:
    random, palette = canvas.random, canvas.palette
    horizon = canvas.h * random.uniform(0.52, 0.62)
    x = canvas.w * random.uniform(0.25, 0.75)
    _sky(canvas, horizon / canvas.h - random.uniform(0.02, 0.16), x)
    canvas.fade(horizon, canvas.h, mix(palette.sky_bottom, palette.near, 0.35), palette.near)
    for _ in range(70):
        share = random.random() ** 1.4
        y = horizon + (canvas.h - horizon) * share + 0.004
        centre = x + random.uniform(-1, 1) * (0.05 + 0.22 * share)
        half = random.uniform(0.015, 0.06) * (0.5 + share)
        colour = mix(palette.light, palette.near, 0.45 * share)
        canvas.line([(centre - half, y), (centre + half, y)], 0.004 + 0.004 * share, colour)
    island = [(ex, min(ey, horizon)) for ex, ey in canvas.ridge(horizon + 0.01, 0.05, 3)]
    canvas.polygon([*island, (canvas.w, horizon), (0, horizon)], mix(palette.far, palette.near, 0.4))
    for _ in range(1 + int(random.random() * 3)):
        share = random.uniform(0.1, 0.5)
        _boat(canvas, canvas.w * random.uniform(0.1, 0.9), horizon + (canvas.h - horizon) * share, 0.07 + 0.13 * share)


def _boat(canvas: Canvas, x: float, y: float, size: float) -> None:
    hull = mix(canvas.palette.near, (0, 0, 0), 0.45)
    canvas.shape(x, y, size, [(-0.5, 0), (0.5, 0), (0.34, 0.18), (-0.34, 0.18)], hull)
    canvas.shape(x, y, size, [(0.03, -0.05), (0.03, -0.95), (0.42, -0.05)], canvas.palette.light)
    canvas.shape(x, y, size, [(-0.03, -0.05), (-0.03, -0.75), (-0.34, -0.05)], canvas.palette.accents[0])


def _town(canvas: Canvas) -> None:
    random = canvas.random
    _sky(canvas, random.uniform(0.2, 0.34))
    for n in range(3):
        colour = canvas.depth(0.15 + 0.42 * n)
        lamp = mix(canvas.palette.accents[2], (255, 244, 200), 0.6)
        x = -random.uniform(0, 0.1)
        while x < canvas.w:
            width = random.uniform(0.07, 0.15)
            top = canvas.h * (0.50 + 0.11 * n) - random.uniform(0, 0.26)
            _house(canvas, x, top, width, colour, lamp, lit=0.12 + 0.16 * n)
            x += width + random.uniform(0, 0.012)
    canvas.land(canvas.ridge(canvas.h * 0.9, 0.012, 3), canvas.palette.near)


def _house(canvas: Canvas, x: float, top: float, width: float, colour: Colour, lamp: Colour, lit: float) -> None:
    random = canvas.random
    canvas.rectangle(x, top, x + width, canvas.h, colour)
    roof = random.random()
    if roof < 0.35:
        canvas.polygon([(x, top), (x + width / 2, top - width * 0.45), (x + width, top)], colour)
    elif roof < 0.55:
        canvas.pie(x + width / 2, top, width / 2, 180, 360, colour)
    elif roof < 0.7:
        canvas.rectangle(x + width * 0.45, top - width * 0.8, x + width * 0.52, top, colour)
    columns = max(2, round(width / 0.03))
    pitch = width / columns
    for row in range(int((canvas.h - top) / (pitch * 1.5))):
        for column in range(columns):
            if random.random() < lit:
                left, upper = x + (column + 0.28) * pitch, top + (row * 1.5 + 0.5) * pitch
                canvas.rectangle(left, upper, left + pitch * 0.44, upper + pitch * 0.75, lamp)


def _shapes(canvas: Canvas) -> None:
    random, palette = canvas.random, canvas.palette
    across = 4 if canvas.w <= 1.01 else round(4 * canvas.w)
    side = canvas.w / across
    colours = (palette.near, palette.far, palette.light, *palette.accents)

    def pick() -> Colour:
        return colours[int(random.random() * len(colours))]

    for row in range(math.ceil(canvas.h / side)):
        for column in range(across):
            x, y = column * side, row * side
            if not canvas.transparent or random.random() < 0.5:
                canvas.rectangle(x, y, x + side, y + side, pick())
            kind, turn = int(random.random() * 4), int(random.random() * 4)
            if kind == 0:
                corner = (x + side * (turn in (1, 2)), y + side * (turn in (2, 3)))
                canvas.pie(*corner, side, 90 * turn, 90 * turn + 90, pick())
                canvas.pie(*corner, side * 0.5, 90 * turn, 90 * turn + 90, pick())
            elif kind == 1:
                for ring, radius in enumerate((0.46, 0.31, 0.16)):
                    canvas.disc(x + side / 2, y + side / 2, side * radius, colours[(turn + ring * 2) % len(colours)])
            elif kind == 2:
                corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
                canvas.polygon([c for i, c in enumerate(corners) if i != turn], pick())
            else:
                colour = pick()
                canvas.pie(x + side / 2, y + side / 2, side / 2, 90 * turn, 90 * turn + 180, colour)


def _sky(canvas: Canvas, height: float, x: float | None = None) -> None:
    """Draw sun or moon at a height (share of the picture's, from its top), stars at night, else clouds and birds."""
    random, palette = canvas.random, canvas.palette
    if palette.dark and not canvas.transparent:
        for _ in range(round(110 * canvas.w * canvas.h)):
            star = mix(palette.light, palette.sky_top, random.uniform(0, 0.7))
            place = canvas.w * random.random(), canvas.h * 0.6 * random.random()
            canvas.disc(*place, random.uniform(0.0008, 0.0028), star)
    across = canvas.w * random.uniform(0.2, 0.8)
    canvas.sun(across if x is None else x, canvas.h * height, random.uniform(0.06, 0.11))
    if not palette.dark:
        if not canvas.transparent:
            for _ in range(int(random.uniform(1, 4))):
                cloud = canvas.w * random.random(), canvas.h * random.uniform(0.08, 0.3)
                _cloud(canvas, *cloud, random.uniform(0.05, 0.1))
        flock = canvas.w * random.uniform(0.15, 0.85), canvas.h * random.uniform(0.14, 0.34)
        for _ in range(int(random.uniform(2, 7))):
            bird = flock[0] + random.uniform(-0.14, 0.14), flock[1] + random.uniform(-0.06, 0.06)
            _bird(canvas, *bird, random.uniform(0.012, 0.024))


def _cloud(canvas: Canvas, x: float, y: float, size: float) -> None:
    colour = mix(canvas.palette.sky_bottom, (255, 255, 255), 0.55)
    for dx, dy, radius in ((-1.3, 0.12, 0.5), (-0.6, -0.15, 0.75), (0.25, -0.3, 0.95), (1.05, 0.0, 0.65)):
        canvas.disc(x + dx * size, y + dy * size, radius * size, colour)
    canvas.rectangle(x - 1.35 * size, y + 0.1 * size, x + 1.1 * size, y + 0.64 * size, colour)


def _bird(canvas: Canvas, x: float, y: float, size: float) -> None:
    wing = [(t / 6, -math.sin(math.pi * t / 6) * 0.45) for t in range(7)]
    colour = mix(canvas.palette.near, canvas.palette.sky_top, 0.25)
    for side in (-1, 1):
        canvas.line([(x + side * size * a, y + size * b) for a, b in wing], 0.0035, colour)
