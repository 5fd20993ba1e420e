"""The project's goals, and whether what was measured meets them."""

import re

from figures import excesses_of, median, ratios_of, relatives_of, values_of

# What of a load is compared: Martlet / PgBouncer, Martlet's own value, Martlet's value / that of the base
# load, or how much more than PgBouncer Martlet pays relative to the base load.
MEASURES = {
    "M/P": ratios_of,
    "M": lambda row, figure: values_of(row, "martlet", figure),
    "M/base": lambda row, figure: relatives_of(row, "martlet", figure),
    "M/base / P/base": excesses_of,
}

# Title, loads, measure, figure, relation, limit.
GOALS = [
    ("CPU per transaction, io_uring", r"(real|canned) (simple|extended) 32, io_uring", "M/P", "cpu", "<=", 0.80),
    ("CPU per transaction, epoll", r"(real|canned) (simple|extended) 32", "M/P", "cpu", "<=", 0.90),
    ("CPU, Unix socket to the server", r"real (simple|extended) 32, io_uring, Unix servers", "M/P", "cpu", "<=", 0.65),
    ("CPU, 2 workers / 1 worker", r"canned simple 64, .*, 2 workers", "M/base", "cpu", "<=", 1.10),
    ("average latency, 1 client", r"(real|canned) (simple|extended) 1", "M/P", "average", "<=", 1.0),
    ("p99/p50, with idle clients / without", r"tail 64, .* idle", "M/base", "spread", "<=", 1.5),
    ("p99/p50", r"tail 2,000 on 20 servers", "M", "spread", "<=", 1.3),
    ("logins per second", r"real reconnect 8(, plain secret)?", "M/P", "tps", ">=", 1.0),
    ("CPU per login and transaction", r"real reconnect 8(, plain secret)?", "M/P", "cpu", "<=", 1.0),
    ("CPU per transaction, TLS", r"real (simple|extended) 32, TLS", "M/P", "cpu", "<=", 1.0),
    ("logins per second, TLS", r"TLS, .*|real reconnect 8, TLS", "M/P", "tps", ">=", 1.0),
    ("CPU per login, TLS", r"TLS, .*|real reconnect 8, TLS", "M/P", "cpu", "<=", 1.0),
    ("p99 beside logins with TLS / alone", r"steady 32, TLS, storm of 500", "M/base", "p99", "<=", 3.0),
    ("CPU relative to plain", r"mix (?!plain 32$).*", "M/base / P/base", "cpu", "<=", 1.0),
    ("CPU, session_tracking full / reported", r".*, session_tracking full", "M/base", "cpu", "<=", 1.05),
    ("throughput, settings of four kinds / one", r".*, settings of four kinds", "M/base", "tps", ">=", 0.9),
    ("throughput beside a storm relative to steady", r"steady 32, storm of .*", "M/base / P/base", "tps", ">=", 1.0),
    ("p99 beside a storm relative to steady", r"steady 32, storm of .*", "M/base / P/base", "p99", "<=", 1.0),
    ("2 MB results, MB/s", r"real 2 MB results 4", "M/P", "megabytes", ">=", 1.5),
    ("2 MB results, CPU per MB", r"real 2 MB results 4", "M/P", "cpu", "<=", 0.4),
    ("resident bytes per idle client", r".* idle clients, logged in", "M", "memory", "<=", 600),
]


def verdict(values, relation, limit):
    """The median decides. A median that misses while some rounds reach the goal is said to be so."""
    if not values:
        return "not measured"
    reached = [value <= limit if relation == "<=" else value >= limit for value in values]
    middle = median(values)
    if middle <= limit if relation == "<=" else middle >= limit:
        return "met"
    return "within noise" if sum(reached) >= len(reached) / 4 else "NOT MET"


def verdicts(rows):
    """(goal, load, measure, value, range of the middle half, wanted, verdict), for each goal and load."""
    results = []
    for title, pattern, measure, figure, relation, limit in GOALS:
        for row in rows:
            if not re.fullmatch(pattern, row.name):
                continue
            values = sorted(MEASURES[measure](row, figure))
            quarter = len(values) // 4
            middle = (values[quarter], values[-1 - quarter]) if values else None
            wanted = f"{relation} {limit:,.2f}".removesuffix(".00")
            word = verdict(values, relation, limit)
            results.append((title, row.name, measure, median(values), middle, wanted, word))
    return results
