// SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS. Their columns and rows come from the metric
// table; only which name and which figure each takes is said here.

import PostgresWire

extension ShowDefinition {
    static let stats = ShowDefinition(
        "Totals and averages of each database; averages are per second or per event.",
        parts: .statistics,
        columns: [databaseColumn] + totalColumns(\.statsTotal) + averageColumns(\.statsAverage)
            + totalColumns(\.statsTotal, of: sessionMetricTable)
    ) { $0.statistics }

    static let statsTotals = ShowDefinition(
        "The totals of SHOW STATS.",
        parts: .statistics,
        columns: [databaseColumn] + totalColumns(\.totalsColumn)
            + totalColumns(\.totalsColumn, of: sessionMetricTable)
    ) { $0.statistics }

    static let statsAverages = ShowDefinition(
        "The averages of SHOW STATS.",
        parts: .statistics,
        columns: [databaseColumn] + averageColumns(\.averagesColumn)
            + averageColumns(\.averagesColumn, of: sessionMetricTable)
    ) { $0.statistics }

    static let totals = ShowDefinition(
        "Totals and averages of all databases together, one row for each figure.",
        parts: .overall,
        columns: figureColumns
    ) { snapshot in
        metricTable.map { metric in
            let value = snapshot.overall.totals[keyPath: metric.counter]
            return Figure(name: "total_\(metric.totalsRow)", value: value)
        }
            + metricTable.map { metric in
                let value = snapshot.overall.averages[keyPath: metric.counter]
                return Figure(name: "avg_\(metric.totalsRow)", value: value)
            }
            + sessionMetricTable.map { metric in
                let value = snapshot.overall.totals[keyPath: metric.counter]
                return Figure(name: "total_\(metric.totalsRow)", value: value)
            }
    }
}

private struct Figure: Sendable {
    let name: String
    let value: UInt64
}

private let figureColumns: [ShowColumn<Figure>] = [
    .text("name", "Which figure: total_ or avg_ and the name of the counter.") {
        ByteString($0.name)
    },
    .numeric("value", "The figure.") { $0.value },
]

private let databaseColumn = ShowColumn<StatsSnapshot>.text("database", "The database name.") {
    $0.database
}

private func totalColumns(
    _ name: KeyPath<MetricRow, String>,
    of metrics: [MetricRow] = metricTable
) -> [ShowColumn<StatsSnapshot>] {
    metrics.map { metric in
        .numeric(metric[keyPath: name], metric.doc) { $0.totals[keyPath: metric.counter] }
    }
}

private func averageColumns(
    _ name: KeyPath<MetricRow, String>,
    of metrics: [MetricRow] = metricTable
) -> [ShowColumn<StatsSnapshot>] {
    metrics.map { metric in
        let unit =
            switch metric.average {
            case .perSecond: "Average per second: "
            case .perEvent: "Average: "
            }
        return .numeric(metric[keyPath: name], unit + metric.doc.lowercasedFirst) {
            $0.averages[keyPath: metric.counter]
        }
    }
}

extension String {
    fileprivate var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}
