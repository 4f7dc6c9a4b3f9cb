"""Scenes as rows of numbers, so that many can be changed and compared at once.

A row has eleven columns: 1 for a pair and 0 for one object; size, texture, colour and shape of the
first object, then of the second (zeros without one); the position, or the relation of a canonical
pair; the background. Each is an index into the world's table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from triptych_export.miniworld.world import (
    BACKGROUNDS,
    COLOURS,
    POSITIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Object,
    Scene,
)

# ``[N, 11] int64``, each a canonical scene.
Rows = NDArray[np.int64]
# ``[N] int64``: a scene as one number below ``KEYS``.
Keys = NDArray[np.int64]

PAIR, FIRST, SECOND, PLACE, BACKGROUND = 0, slice(1, 5), slice(5, 9), 9, 10
COLUMNS = 11
_COLOUR, _SHAPE = 2, 3  # within an object
_TABLES = tuple(tuple(table) for table in (SIZES, TEXTURES, COLOURS, SHAPES))
_PLACES = tuple(POSITIONS)
_RELATIONS = ("to the left of", "above")  # of canonical pairs
_BACKGROUNDS = tuple(BACKGROUNDS)
_OBJECT = tuple(len(table) for table in _TABLES)
_RADICES = np.array([2, *_OBJECT, *_OBJECT, len(_PLACES), len(_BACKGROUNDS)])
_OBJECTS = int(np.prod(_OBJECT))
_SINGLES = _OBJECTS * len(_PLACES) * len(_BACKGROUNDS)
KEYS = _SINGLES + _OBJECTS**2 * len(_RELATIONS) * len(_BACKGROUNDS)


def keys_of(rows: Rows) -> Keys:
    """The number of each scene."""
    first, second = _object_number(rows[..., FIRST]), _object_number(rows[..., SECOND])
    place, background = rows[..., PLACE], rows[..., BACKGROUND]
    single = (first * len(_PLACES) + place) * len(_BACKGROUNDS) + background
    pair = (first * _OBJECTS + second) * len(_RELATIONS) + place
    keys: Keys = np.where(
        rows[..., PAIR] == 1, _SINGLES + pair * len(_BACKGROUNDS) + background, single
    )
    return keys


def rows_of(keys: Keys) -> Rows:
    """The inverse of ``keys_of``."""
    pair = keys >= _SINGLES
    rest, background = np.divmod(np.where(pair, keys - _SINGLES, keys), len(_BACKGROUNDS))
    rest, place = np.divmod(rest, np.where(pair, len(_RELATIONS), len(_PLACES)))
    first, second = np.divmod(rest, np.where(pair, _OBJECTS, 1))
    rows: Rows = np.empty((*keys.shape, COLUMNS), np.int64)
    rows[..., PAIR], rows[..., PLACE], rows[..., BACKGROUND] = pair, place, background
    rows[..., FIRST], rows[..., SECOND] = _object(first), _object(np.where(pair, second, 0))
    return rows


def valid(rows: Rows) -> NDArray[np.bool_]:
    """Whether the objects of pairs differ in colour or shape: ``[N] bool``."""
    first, second = rows[..., FIRST][..., _COLOUR:], rows[..., SECOND][..., _COLOUR:]
    different: NDArray[np.bool_] = (first != second).any(-1) | (rows[..., PAIR] == 0)
    return different


def scene_of(row: Rows) -> Scene:
    """One row, ``[11]``, as a scene."""
    objects = [_told(row[FIRST])]
    background = _BACKGROUNDS[row[BACKGROUND]]
    if not row[PAIR]:
        return Scene((objects[0],), background, position=_PLACES[row[PLACE]])
    return Scene((objects[0], _told(row[SECOND])), background, relation=_RELATIONS[row[PLACE]])


def row_of(scene: Scene) -> Rows:
    """The row, ``[11]``, of a scene told in either order."""
    scene = scene.canonical()
    row = np.zeros(COLUMNS, np.int64)
    row[BACKGROUND] = _BACKGROUNDS.index(scene.background)
    row[FIRST] = _numbers(scene.objects[0])
    if scene.relation is None:
        row[PLACE] = _PLACES.index(str(scene.position))
        return row
    row[PAIR], row[PLACE] = 1, _RELATIONS.index(scene.relation)
    row[SECOND] = _numbers(scene.objects[1])
    return row


def sample_rows(shape: tuple[int, ...], rng: np.random.Generator) -> Rows:
    """Scenes by lot, one or two objects with equal chance: ``[*shape, 11]``."""
    rows = rng.integers(0, np.broadcast_to(_RADICES, (*shape, COLUMNS)))
    return tidy(rows, rng)


def tidy(rows: Rows, rng: np.random.Generator) -> Rows:
    """Rows whose columns were set one by one, made scenes: nothing of a second object where there
    is none, another colour where two objects would be alike, a relation that pairs have."""
    pair = rows[..., PAIR] == 1
    rows[..., SECOND] *= pair[..., None]
    rows[..., PLACE] = np.where(pair, rows[..., PLACE] % len(_RELATIONS), rows[..., PLACE])
    colour = SECOND.start + _COLOUR
    shift = np.where(valid(rows), 0, rng.integers(1, len(COLOURS), rows.shape[:-1]))
    rows[..., colour] = (rows[..., colour] + shift) % len(COLOURS)
    return rows


def change_once(rows: Rows, rng: np.random.Generator) -> Rows:
    """Each scene with one attribute drawn anew, two objects swapped in a colour, a shape or their
    places, or an object more or less."""
    rows = rows.copy()
    flat = rows.reshape(-1, COLUMNS)
    index = np.arange(len(flat))
    pair = flat[:, PAIR] == 1
    # Columns 0 to 10, then three swaps, which pairs alone have.
    weights = np.ones((len(flat), COLUMNS + 3))
    weights[:, PAIR] = 0.4
    weights[:, [*range(SECOND.start, SECOND.stop), *range(COLUMNS, COLUMNS + 3)]] *= pair[:, None]
    edges = weights.cumsum(1)
    chosen = (edges < rng.uniform(size=(len(flat), 1)) * edges[:, -1:]).sum(1)
    column = np.minimum(chosen, COLUMNS - 1)
    drawn = (flat[index, column] + rng.integers(1, _RADICES[column])) % _RADICES[column]
    flat[index, column] = np.where(chosen < COLUMNS, drawn, flat[index, column])
    grown = (chosen == PAIR) & (flat[:, PAIR] == 1)
    flat[grown, SECOND] = rng.integers(0, np.broadcast_to(_OBJECT, (int(grown.sum()), 4)))
    shrunk = (chosen == PAIR) & (flat[:, PAIR] == 0)
    flat[shrunk, PLACE] = rng.integers(0, len(_PLACES), int(shrunk.sum()))
    kept = shrunk & (rng.uniform(size=len(flat)) < 0.5)
    flat[kept, FIRST] = flat[kept, SECOND]
    for swap, columns in enumerate(([_COLOUR], [_SHAPE], [0, 1, 2, 3])):
        swapped = np.flatnonzero(chosen == COLUMNS + swap)[:, None]
        first, second = FIRST.start + np.array(columns), SECOND.start + np.array(columns)
        flat[swapped, first], flat[swapped, second] = flat[swapped, second], flat[swapped, first]
    return tidy(flat, rng).reshape(rows.shape)


def agreement(told: Rows, true: Rows) -> NDArray[np.float64]:
    """The attribute F1 of each row against another, as ``attribute_f1`` of one caption has it."""
    same = told[..., PAIR] == true[..., PAIR]
    places = (told[..., PLACE] == true[..., PLACE]) & same
    either = told[..., BACKGROUND] == true[..., BACKGROUND]
    both = told[..., PAIR] & true[..., PAIR]
    first, second = told[..., PAIR], true[..., PAIR]
    straight = _alike(told, true, FIRST, FIRST) + both * _alike(told, true, SECOND, SECOND)
    # A canonical pair told from its other object has a relation that no canonical pair has.
    from_second = _alike(told, true, SECOND, FIRST), _alike(told, true, FIRST, SECOND)
    crossed = np.maximum(
        from_second[0] * first + both * from_second[1],
        from_second[1] * second + both * from_second[0],
    )
    objects = np.maximum(straight, crossed)
    right = objects + places * (straight >= crossed) + either
    sizes = 12 + 4 * (first + second)
    result: NDArray[np.float64] = 2 * right / sizes
    return result


def _alike(told: Rows, true: Rows, one: slice, other: slice) -> Rows:
    equal: Rows = (told[..., one] == true[..., other]).sum(-1)
    return equal


def _object_number(columns: Rows) -> Keys:
    number: Keys = columns[..., 0]
    for index, radix in enumerate(_OBJECT[1:], 1):
        number = number * radix + columns[..., index]
    return number


def _object(numbers: Keys) -> Rows:
    columns: Rows = np.stack(np.unravel_index(numbers, _OBJECT), axis=-1).astype(np.int64)
    return columns


def _told(columns: Rows) -> Object:
    return Object(*(table[number] for table, number in zip(_TABLES, columns, strict=True)))


def _numbers(thing: Object) -> list[int]:
    words = (thing.size, thing.texture, thing.colour, thing.shape)
    return [table.index(word) for table, word in zip(_TABLES, words, strict=True)]
