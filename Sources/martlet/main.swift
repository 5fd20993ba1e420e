// The entry point; everything is in Martlet.swift, because top-level code belongs to the main actor.

internal import ArgumentParser

do {
    var command = try Martlet.command(for: Array(CommandLine.arguments.dropFirst()))
    try command.run()
} catch {
    Martlet.exit(withError: error)
}
