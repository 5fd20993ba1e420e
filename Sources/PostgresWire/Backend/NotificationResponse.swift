// NotificationResponse: what NOTIFY sends to those who listen.
//
// Source: PostgreSQL documentation, sections 55.2.7 "Asynchronous Operations" and 55.7.

/// A message of NOTIFY.
public struct NotificationResponse: Hashable, Sendable {
    /// The process of the session that sent it.
    public var processID: Int32
    public let channel: ByteString
    public let payload: ByteString

    public init(processID: Int32, channel: ByteString, payload: ByteString) {
        self.processID = processID
        self.channel = channel
        self.payload = payload
    }

    /// Decodes a body.
    ///
    /// - Throws: `WireError` unless it is exactly a number and two strings.
    public init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        processID = try reader.readInt32()
        channel = try reader.readCString()
        payload = try reader.readCString()
        try reader.finish()
    }
}

extension ByteWriter {
    /// Appends a NotificationResponse.
    public mutating func notificationResponse(_ notification: NotificationResponse) {
        message(.notificationResponse) { body in
            body.write(notification.processID)
            body.writeCString(notification.channel)
            body.writeCString(notification.payload)
        }
    }
}
