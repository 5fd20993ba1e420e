// The entry point; everything is in Martlet.swift, because top-level code belongs to the main actor.

internal import ArgumentParser

Martlet.main()
