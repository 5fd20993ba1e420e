"""What was measured, as tables and as verdicts against the project's goals."""

import re
import statistics

# What each goal compares, for which loads, and how far the ratio Martlet / PgBouncer may go.
GOALS = [
    ("CPU per transaction, simple, 32 clients", r"(real|canned) simple 32", "cpu", "<=", 0.92),
    ("CPU per transaction, extended, 32 clients", r"(real|canned) extended 32", "cpu", "<=", 0.92),
    ("average latency, 1 client", r"(real|canned) (simple|extended) 1", "average", "<=", 1.0),
    ("2 MB results, MB/s", r"real 2 MB results 4", "megabytes", ">=", 1.5),
    ("2 MB results, CPU per MB", r"real 2 MB results 4", "cpu", "<=", 0.4),
    ("resident memory per idle client", r".* idle clients, logged in", "memory", "<=", 0.25),
]

SIDES = ("martlet", "pgbouncer")


def median(values):
    return statistics.median(values) if values else None


def value_of(row, side, figure):
    """The median over the rounds of one figure of one side, or None."""
    values = [getattr(sample, figure) for sample in row.samples[side]]
    return median(values)


def ratios_of(row, figure):
    """The ratio Martlet / PgBouncer of each pair of runs: a slow minute slows both sides."""
    pairs = zip(row.samples["martlet"], row.samples["pgbouncer"])
    return [
        getattr(ours, figure) / getattr(theirs, figure)
        for ours, theirs in pairs
        if getattr(theirs, figure)
    ]


def ratio_of(row, figure):
    return median(ratios_of(row, figure))


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def cpu_cell(row, side):
    total = value_of(row, side, "cpu")
    if total is None:
        return "-"
    digits = 0 if total >= 100 else 1
    parts = (value_of(row, side, "user"), value_of(row, side, "system"))
    return f"{total:,.{digits}f} ({parts[0]:,.{digits}f} + {parts[1]:,.{digits}f})"


def transaction_table(rows):
    header = ["load", "tps M", "tps P", "ratio", "avg ms M", "P", "ratio", "p99 ms M", "P", "ratio"]
    header += ["CPU us M (user + system)", "P", "ratio"]
    lines = []
    for row in rows:
        line = [row.name + (" *" if row.note else "")]
        for figure, digits in (("tps", 0), ("average", 3), ("p99", 3)):
            line += [number(value_of(row, side, figure), digits) for side in SIDES]
            line += [number(ratio_of(row, figure), 2)]
        line += [cpu_cell(row, side) for side in SIDES] + [number(ratio_of(row, "cpu"), 2)]
        lines.append(line)
    return header, lines


def large_table(rows):
    header = ["load", "MB/s M", "P", "ratio", "p99 ms M", "P", "ratio"]
    header += ["CPU us per MB M (user + system)", "P", "ratio"]
    lines = []
    for row in rows:
        line = [row.name]
        for figure, digits in (("megabytes", 0), ("p99", 1)):
            line += [number(value_of(row, side, figure), digits) for side in SIDES]
            line += [number(ratio_of(row, figure), 2)]
        line += [cpu_cell(row, side) for side in SIDES] + [number(ratio_of(row, "cpu"), 2)]
        lines.append(line)
    return header, lines


def memory_table(rows):
    header = ["resident bytes per client", "M", "P", "ratio"]
    lines = []
    for row in rows:
        values = [number(value_of(row, side, "memory"), 0) for side in SIDES]
        lines.append([row.name, *values, number(ratio_of(row, "memory"), 2)])
    return header, lines


def verdict(ratios, relation, limit):
    """The median decides. A median that misses while some pairs reach the goal is said to be so."""
    if not ratios:
        return "not measured"
    reached = [ratio <= limit if relation == "<=" else ratio >= limit for ratio in ratios]
    middle = median(ratios)
    if middle <= limit if relation == "<=" else middle >= limit:
        return "met"
    return "within noise" if sum(reached) >= len(reached) / 4 else "NOT MET"


def verdicts(rows):
    """(goal, load, ratio, range of the middle half, wanted, verdict) for each goal and its loads."""
    results = []
    for title, pattern, figure, relation, limit in GOALS:
        for row in rows:
            if re.fullmatch(pattern, row.name):
                ratios = sorted(ratios_of(row, figure))
                quarter = len(ratios) // 4
                middle = (ratios[quarter], ratios[-1 - quarter]) if ratios else None
                word = verdict(ratios, relation, limit)
                wanted = f"{relation} {limit:.2f}"
                results.append((title, row.name, median(ratios), middle, wanted, word))
    return results


def verdict_table(results):
    lines = []
    for goal, row, ratio, middle, wanted, word in results:
        spread = f"{middle[0]:.2f} to {middle[1]:.2f}" if middle else "-"
        lines.append([goal, row, number(ratio, 2), spread, wanted, word])
    return ["goal (Martlet / PgBouncer)", "load", "ratio", "middle half", "wanted", ""], lines


def render(header, lines, markdown):
    if markdown:
        text = ["| " + " | ".join(header) + " |"]
        text += ["|---|" + "---:|" * (len(header) - 1)]
        text += ["| " + " | ".join(line) + " |" for line in lines]
        return "\n".join(text)
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]

    def aligned(line):
        first = line[0].ljust(widths[0])
        return "  ".join([first, *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]).rstrip()

    return "\n".join([aligned(header), "-" * (sum(widths) + 2 * len(widths) - 2)]
                     + [aligned(line) for line in lines])
