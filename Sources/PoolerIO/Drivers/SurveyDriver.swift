// What in a database can change a session without being named by a statement (HiddenCalls). Asked
// after the first transaction that names a table, or calls in another way what is not seen, after one
// that changes functions, triggers and the like, and now and then by the janitor, because others change
// them, too.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// How long what was found is relied upon, in microseconds.
    private static var surveyPeriod: Microseconds { .seconds(60) }
    /// The same where the question was not answered: it may be too much for the database.
    private static var failedSurveyPeriod: Microseconds { .seconds(600) }

    /// After statements that do this a database is another one.
    static var changingEffects: SessionEffects { [.definition, .creation] }

    // MARK: Statements pass

    /// Adds to the effects of a statement what the tables and functions do that it names.
    ///
    /// Where nothing in the database can change a session unseen that is one comparison, but for
    /// calls of functions that are not PostgreSQL's own.
    @inline(__always)
    mutating func noteHiddenCalls(
        _ effects: inout SessionEffects,
        _ text: RawSpan,
        _ rules: ScanRules,
        on server: UInt32
    ) {
        if mayHideSomething(effects, on: server) { noteHidden(&effects, text, rules, on: server) }
    }

    /// Whether a statement with these effects has to be looked at.
    @inline(__always)
    func mayHideSomething(_ effects: SessionEffects, on server: UInt32) -> Bool {
        if !effects.isDisjoint(with: Self.changingEffects) { return true }
        switch pools[servers[server].pool].hiddenCalls {
        case .none: return effects.contains(.unknownFunction)
        case .unknown: return !effects.isDisjoint(with: [.unseenCalls, .unknownFunction])
        case .some: return true
        }
    }

    @inline(never)
    private mutating func noteHidden(
        _ effects: inout SessionEffects,
        _ text: RawSpan,
        _ rules: ScanRules,
        on server: UInt32
    ) {
        // Tables can have defaults. What is temporary ends with the session.
        if effects.contains(.definition)
            || effects.contains(.creation) && !effects.contains(.temporary)
        {
            servers[server].doubts.awaitSurvey(isChanged: true)
        }
        let pool = servers[server].pool
        guard pools[pool].hiddenCalls != .unknown, let calls = pools[pool].survey?.calls else {
            if !effects.isDisjoint(with: [.unseenCalls, .unknownFunction]) {
                servers[server].doubts.awaitSurvey(isChanged: false)
                if servers[server].pins.isEmpty { servers[server].pinStatement = text.excerpt }
            }
            return
        }
        if calls.areNamed(in: text, rules: rules) {
            effects.insert(.opaque)
        } else if calls.isAnywhere {
            effects.insert(.unknownFunction)
        }
    }

    // MARK: Between transactions

    /// Has the server asked before what else there is to be asked, if nobody has done so meanwhile.
    ///
    /// - Returns: false when it is being asked now.
    mutating func settleSurvey(_ server: UInt32) -> Bool {
        let pool = servers[server].pool
        let database = pools[pool].key.database
        if servers[server].doubts.hasNewDefinitions {
            publish(nil, of: database)
        } else if let survey = shared.surveys[database] {
            adoptSurvey(survey, of: database)
            servers[server].doubts.surveyed(foundAny: survey.calls.hasAny)
            return true
        }
        clients[servers[server].client].isPreparing = true
        pools[pool].counters.probes &+= 1
        askForSurvey(server)
        return false
    }

    /// Whether a database should be asked again.
    func isSurveyOld(_ pool: PoolID) -> Bool {
        guard let survey = pools[pool].survey else { return false }
        return now >= survey.end
    }

    /// Asks a server what in its database can change a session unseen.
    mutating func askForSurvey(_ server: UInt32) {
        servers[server].task = .surveying
        servers[server].taskAnswer = []
        sendInternal(HiddenCalls.question, to: server)
    }

    /// The server has answered.
    ///
    /// If it cannot say, any statement may change a session unseen, until it is asked again.
    mutating func surveyed(_ server: UInt32, _ error: ErrorResponse?) {
        let answer = exchange(&servers[server].taskAnswer, with: [])
        let calls = error == nil ? HiddenCalls(answer: unsafe answer.span.bytes) : nil
        if calls == nil {
            let reason = error?.message.text ?? "unreadable answer"
            logServer(server, .warning, "survey of hidden calls failed: \(reason)")
        }
        let survey = Survey(
            calls: calls ?? .unknown,
            end: now + (calls == nil ? Self.failedSurveyPeriod : Self.surveyPeriod)
        )
        publish(survey, of: pools[servers[server].pool].key.database)
        guard servers[server].machine.transactionStatus == .idle else {
            return servers[server].hasClient
                ? serverFailed(server, .checkFailed) : closeServer(server, .uncertainState)
        }
        guard servers[server].hasClient else { return resetOrFree(server) }
        servers[server].doubts.surveyed(foundAny: survey.calls.hasAny)
        settleSession(server)
    }

    // MARK: What is known

    /// Makes known to all workers what a database has been found to have, or that nobody knows it.
    private mutating func publish(_ survey: Survey?, of database: ByteString) {
        shared.surveys[database] = survey
        adoptSurvey(survey, of: database)
        for worker in shared.workers where worker != id {
            shared.post(.surveyed(database: database, survey), to: worker)
        }
    }

    /// Takes over what has been found.
    mutating func adoptSurvey(_ survey: Survey?, of database: ByteString) {
        for pool in localPools(ofDatabase: database) { adopt(survey, in: pool) }
    }

    /// The same in one of the database's pools.
    mutating func adopt(_ survey: Survey?, in pool: PoolID) {
        pools[pool].survey = survey
        let names = survey?.calls.settingNames ?? []
        if !names.isEmpty { pools[pool].shared.withLock { $0.noteCustomNames(names) } }
    }
}
