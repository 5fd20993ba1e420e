"""What was measured, as tables."""

from figures import SIDES, excesses_of, median, ratio_of, relatives_of, value_of


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def cpu_cell(row, side):
    total = value_of(row, side, "cpu")
    if total is None:
        return "-"
    digits = 0 if total >= 100 else 1
    parts = (value_of(row, side, "user"), value_of(row, side, "system"))
    return f"{total:,.{digits}f} ({parts[0]:,.{digits}f} + {parts[1]:,.{digits}f})"


def side_by_side(row, figures):
    """Cells for both sides and their ratio, of each (figure, digits)."""
    cells = []
    for figure, digits in figures:
        cells += [number(value_of(row, side, figure), digits) for side in SIDES]
        cells += [number(ratio_of(row, figure), 2)]
    return cells


def cpu_cells(row):
    return [cpu_cell(row, side) for side in SIDES] + [number(ratio_of(row, "cpu"), 2)]


def relative_cells(row, figure):
    """Cells for what the load has of a figure, relative to its base: both sides and their ratio."""
    cells = [number(median(relatives_of(row, side, figure)), 2) for side in SIDES]
    return cells + [number(median(excesses_of(row, figure)), 2)]


def transaction_table(rows):
    header = ["load", "tps M", "P", "ratio", "avg ms M", "P", "ratio", "p99 ms M", "P", "ratio"]
    header += ["CPU us M (user + system)", "P", "ratio"]
    return header, [
        [row.name + (" *" if row.note else "")]
        + side_by_side(row, [("tps", 0), ("average", 3), ("p99", 3)])
        + cpu_cells(row)
        for row in rows
    ]


def login_table(rows):
    header = ["logins", "a second M", "P", "ratio", "resumed M", "P"]
    header += ["CPU us M (user + system)", "P", "ratio"]
    return header, [
        [row.name, *side_by_side(row, [("tps", 0)])]
        + [number(value_of(row, side, "resumed"), 2) for side in SIDES]
        + cpu_cells(row)
        for row in rows
    ]


def tail_table(rows):
    header = ["tail", "tps M", "P", "ratio", "p50 ms M", "P", "ratio", "p99 ms M", "P", "ratio"]
    header += ["p99/p50 M", "P", "ratio", "max ms M", "P", "ratio"]
    header += ["fewest/most M", "P"]
    figures = [("tps", 0), ("p50", 3), ("p99", 3), ("spread", 2), ("maximum", 1)]
    return header, [
        [row.name, *side_by_side(row, figures)]
        + [number(value_of(row, side, "evenness"), 2) for side in SIDES]
        for row in rows
    ]


def mix_table(rows):
    header = ["load", "tps M", "P", "ratio", "p99 ms M", "P", "ratio", "CPU us M (user + system)", "P"]
    header += ["ratio", "/ base M", "P", "ratio"]
    lines = []
    for row in rows:
        line = [row.name, *side_by_side(row, [("tps", 0), ("p99", 3)]), *cpu_cells(row)]
        lines.append(line + relative_cells(row, "cpu"))
    return header, lines


def storm_table(rows):
    header = ["load", "tps M", "P", "ratio", "/ base M", "P", "ratio", "p99 ms M", "P", "ratio"]
    header += ["/ base M", "P", "ratio", "logins/s M", "P", "login p99 ms M", "P"]
    return header, [
        [row.name, *side_by_side(row, [("tps", 0)]), *relative_cells(row, "tps")]
        + [*side_by_side(row, [("p99", 3)]), *relative_cells(row, "p99")]
        + [number(value_of(row, side, "logins"), 0) for side in SIDES]
        + [number(value_of(row, side, "login_p99"), 1) for side in SIDES]
        for row in rows
    ]


def large_table(rows):
    header = ["load", "MB/s M", "P", "ratio", "p99 ms M", "P", "ratio"]
    header += ["CPU us per MB M (user + system)", "P", "ratio"]
    return header, [
        [row.name] + side_by_side(row, [("megabytes", 0), ("p99", 1)]) + cpu_cells(row)
        for row in rows
    ]


def memory_table(rows):
    header = ["resident bytes per client", "M", "P", "ratio"]
    return header, [[row.name] + side_by_side(row, [("memory", 0)]) for row in rows]


TABLES = {
    "transactions": transaction_table,
    "logins": login_table,
    "storm": storm_table,
    "tail": tail_table,
    "mix": mix_table,
    "large": large_table,
    "memory": memory_table,
}


def verdict_table(results):
    lines = []
    for goal, row, measure, value, middle, wanted, word in results:
        digits = 0 if value is not None and value >= 100 else 2
        spread = f"{middle[0]:,.{digits}f} to {middle[1]:,.{digits}f}" if middle else "-"
        lines.append([goal, row, measure, number(value, digits), spread, wanted, word])
    return ["goal", "load", "of", "value", "middle half", "wanted", ""], lines


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
