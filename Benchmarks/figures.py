"""Medians, ratios and relative costs of what was measured.

A figure is an attribute of a sample (`cpu`, `p99`, `spread`, ...). Sides are compared, and loads are
compared with their base, round by round: a slow minute slows both.
"""

import statistics

SIDES = ("martlet", "pgbouncer")


def median(values):
    return statistics.median(values) if values else None


def values_of(row, side, figure):
    return [getattr(sample, figure) for sample in row.samples[side]]


def quotients(numerators, denominators):
    return [a / b for a, b in zip(numerators, denominators) if b]


def ratios_of(row, figure):
    """Martlet / PgBouncer, of each pair of runs."""
    return quotients(*(values_of(row, side, figure) for side in SIDES))


def relatives_of(row, side, figure):
    """The load / its base, of each round."""
    if row.base is None:
        return []
    return quotients(values_of(row, side, figure), values_of(row.base, side, figure))


def excesses_of(row, figure):
    """What the load costs Martlet relative to its base / what it costs PgBouncer relative to that."""
    return quotients(*(relatives_of(row, side, figure) for side in SIDES))


def value_of(row, side, figure):
    return median(values_of(row, side, figure))


def ratio_of(row, figure):
    return median(ratios_of(row, figure))
