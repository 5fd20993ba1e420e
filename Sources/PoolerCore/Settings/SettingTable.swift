// Every setting, one row each, in alphabetical order (a test checks it).
//
// A new setting is a property of `Settings` and a row in SettingsAToM.swift or SettingsNToZ.swift;
// parsing, SHOW CONFIG, SET, RELOAD, the sample file and the documentation follow. A row with
// `pgbouncer:` has another default in a [pgbouncer] section; all others have the property's initial
// value in both.

/// The table of settings, ordered by name.
public let settingTable: [SettingRow] = settingsAToM + settingsNToZ
