#!/usr/bin/env python3
"""TLS as no library of PostgreSQL speaks it: record by record, cut, mixed with plain text.

    tls.py CASE PORT AUTHORITY [ARGUMENT...]

PORT is that of a pooler on 127.0.0.1 whose certificate AUTHORITY has signed, with the user and the database app, no
passwords, and TLS for those who ask. A case prints nothing and ends with 0 if all is as it should be, else it says
what is not.
"""

import socket
import ssl
import struct
import sys
import time

PATIENCE = 45
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)


def startup(**parameters):
    pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items())
    body = struct.pack("!i", 3 << 16) + pairs + b"\0"
    return struct.pack("!i", len(body) + 4) + body


STARTUP = startup(user="app", database="app")


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def query(text):
    return message(b"Q", text.encode() + b"\0")


class Ended(Exception):
    """The other side has closed the connection."""


class Plain:
    """A socket that reads messages."""

    def __init__(self, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", PORT))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def send(self, data):
        self.socket.sendall(data)

    def receive_some(self, limit=1 << 16):
        try:
            data = self.socket.recv(limit)
        except ConnectionError as error:
            raise Ended from error
        if not data:
            raise Ended
        return data

    def receive(self, count):
        while len(self.received) < count:
            self.received += self.receive_some()
        data, self.received = self.received[:count], self.received[count:]
        return data

    def message(self):
        head = self.receive(5)
        return head[:1], self.receive(struct.unpack("!i", head[1:])[0] - 4)

    def until_ready(self):
        """The messages up to ReadyForQuery."""
        found = []
        while not found or found[-1][0] != b"Z":
            found.append(self.message())
            if found[-1][0] == b"E" and b"FATAL" in found[-1][1]:
                raise AssertionError(found[-1])
        return found

    def login(self):
        self.send(STARTUP)
        return self.until_ready()

    def value(self, text):
        self.send(query(text))
        rows = [body for kind, body in self.until_ready() if kind == b"D"]
        assert len(rows) == 1, rows
        return rows[0][6:]

    def rest(self):
        """Whatever comes before the other side closes."""
        data = self.received
        try:
            while True:
                data += self.receive_some()
        except Ended:
            return data

    def close(self):
        self.socket.close()


def context(highest=None, lowest=None, alpn=None, ciphers=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(AUTHORITY)
    if highest or lowest:
        # The old versions are switched off by the strength that OpenSSL wants of them.
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = lowest or ssl.TLSVersion.TLSv1
        made.maximum_version = highest or ssl.TLSVersion.TLSv1_3
    if alpn is not None:
        made.set_alpn_protocols(alpn)
    return made


class Secure(Plain):
    """A socket with TLS, whose records can be had before they are sent."""

    def __init__(self, settings=None, direct=False, piece=None, session=None, name=None, receive_buffer=None):
        super().__init__(receive_buffer)
        self.piece = piece
        if not direct:
            self.send_raw(SSL_REQUEST)
            answer = self.socket.recv(100)
            assert answer == b"S", answer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (settings or context()).wrap_bio(
            self.incoming, self.outgoing, server_hostname=name or "127.0.0.1", session=session
        )
        self.piece_size = 1 << 16
        self.drive(self.tls.do_handshake)

    def send_raw(self, data):
        if not self.piece:
            return self.socket.sendall(data)
        for start in range(0, len(data), self.piece):
            self.socket.sendall(data[start : start + self.piece])

    def drive(self, step):
        while True:
            try:
                result = step()
                self.send_raw(self.outgoing.read())
                return result
            except ssl.SSLWantReadError:
                self.send_raw(self.outgoing.read())
                self.incoming.write(Plain.receive_some(self, self.piece_size))

    def records(self, data):
        """The records that carry so many bytes, not sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def send(self, data):
        for start in range(0, len(data), 1 << 14):
            self.send_raw(self.records(data[start : start + (1 << 14)]))

    def receive_some(self, limit=1 << 16):
        try:
            data = self.drive(lambda: self.tls.read(limit))
        except ssl.SSLZeroReturnError as error:
            raise Ended from error
        if not data:
            raise Ended
        return data


def ends(client, before=b"R"):
    """Checks that the other side closes, and has not begun to let us in."""
    rest = client.rest()
    assert before not in rest[:1], rest


# Before TLS


def plain_text_behind_the_request():
    """CVE-2021-23214: nobody may put something before the first encrypted byte."""
    for more in [STARTUP, STARTUP[:5], b"\x16", b"Q"]:
        client = Plain()
        client.send(SSL_REQUEST + more)
        rest = client.rest()
        assert rest[:1] in (b"", b"S", b"E"), rest
        assert b"R\0\0\0\x08" not in rest, rest


def hello_behind_the_request():
    """Nor may a client be ahead of the answer, since nobody can tell it from that."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    client = Plain()
    client.send(SSL_REQUEST + outgoing.read())
    rest = client.rest()
    assert len(rest) <= 1 or rest[:1] == b"E", rest


def request_in_pieces():
    client = Plain()
    for byte in SSL_REQUEST:
        client.send(bytes([byte]))
        time.sleep(0.005)
    assert client.receive(1) == b"S"


def encryption_of_the_other_kind_first():
    client = Plain()
    client.send(GSS_REQUEST)
    assert client.receive(1) == b"N"
    client.send(SSL_REQUEST)
    assert client.receive(1) == b"S"
    client = Plain()
    client.send(GSS_REQUEST)
    assert client.receive(1) == b"N"
    client.login()


def a_request_within():
    for request in SSL_REQUEST, GSS_REQUEST:
        client = Secure()
        client.send(request)
        ends(client, b"S")


def garbage():
    """What is not TLS ends the connection, at once and not after a time-out."""
    for data in [
        b"\0" * 600, b"GET / HTTP/1.1\r\n\r\n" * 40, STARTUP * 20, b"\xff" * 20000,
        b"\x16\x03\x01\xff\xff" + b"\x01" * 70000, b"\x15\x03\x01\x00\x02\x02\x28", b"\x17\x03\x03\x00\x20" + b"x" * 32,
    ]:
        client = Plain()
        client.send(SSL_REQUEST)
        assert client.receive(1) == b"S"
        started = time.monotonic()
        try:
            client.send(data)
        except ConnectionError:
            pass
        ends(client)
        assert time.monotonic() - started < 20, data[:20]


def client_hello():
    """The first bytes of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def half_a_hello():
    """Who stops within the handshake is disconnected by client_login_timeout."""
    hello = client_hello()
    # The last one announces more than it has.
    for data in [b"", hello[:3], hello[:100], hello, b"\x16\x03\x01\x00\x05\x01\x00\xff\xff\xff" * 100]:
        client = Plain()
        client.send(SSL_REQUEST)
        assert client.receive(1) == b"S"
        client.send(data)
        ends(client)


def gone_within_the_handshake():
    hello = client_hello()
    for data in [b"", hello[:100], hello] * 10:
        client = Plain()
        client.send(SSL_REQUEST)
        assert client.receive(1) == b"S"
        client.send(data)
        client.close()


# Records


def one_byte_writes():
    client = Secure(piece=1)
    client.login()
    assert client.value("select 1") == b"1"


def one_byte_records():
    client = Secure()
    client.login()
    text = "x" * 3000
    data = query(f"select length('{text}')")
    client.send_raw(b"".join(client.records(data[index : index + 1]) for index in range(len(data))))
    rows = [body for kind, body in client.until_ready() if kind == b"D"]
    assert rows[0].endswith(b"3000"), rows


def many_queries_in_a_record():
    client = Secure()
    client.login()
    client.send_raw(client.records(b"".join(query(f"select {number}") for number in range(500))))
    for number in range(500):
        rows = [body for kind, body in client.until_ready() if kind == b"D"]
        assert rows[0].endswith(str(number).encode()), rows


def large_records():
    """16 KB records, sent in pieces that end anywhere, read through a small window a few bytes at a time."""
    client = Secure(piece=1013, receive_buffer=4096)
    client.login()
    client.piece_size = 777
    size = 3_000_000
    assert client.value(f"select length('{'y' * size}')").endswith(str(size).encode())
    found = client.value(f"select repeat('z', {size})")
    assert found == b"z" * size, len(found)


def truncated_record():
    """A record that never ends: nothing of it counts."""
    for count in [1, 4, 5, 20, -1]:
        client = Secure()
        client.login()
        client.send_raw(client.records(query("create table truncated_record ()"))[:count])
        client.close()
    client = Secure()
    client.login()
    assert client.value("select count(*) from pg_class where relname = 'truncated_record'").endswith(b"0")


def damaged_record():
    client = Secure()
    client.login()
    record = bytearray(client.records(query("select 1")))
    record[-1] ^= 1
    client.send_raw(bytes(record))
    try:
        rest = client.rest()
    except ssl.SSLError:
        return  # the alert says so
    assert rest == b"", rest


def plain_text_after_the_handshake():
    client = Secure()
    client.login()
    client.send_raw(query("select 1"))
    try:
        rest = client.rest()
    except ssl.SSLError:
        return
    assert rest == b"", rest


def close_notify():
    client = Secure()
    client.login()
    try:
        client.tls.unwrap()
    except ssl.SSLWantReadError:
        pass
    client.send_raw(client.outgoing.read())
    try:
        while client.socket.recv(1 << 16):
            pass
    except ConnectionError:
        pass


def terminate_is_answered():
    """The last record of a connection is a close_notify."""
    client = Secure()
    client.login()
    client.send(message(b"X"))
    # An end of the socket alone would be another exception.
    assert client.drive(lambda: client.tls.read(1)) == b""


# What is agreed on


def direct():
    for protocols in [["postgresql"], ["h2", "postgresql"]]:
        client = Secure(context(alpn=protocols), direct=True)
        assert client.tls.selected_alpn_protocol() == "postgresql"
        client.login()
        assert client.value("select 1") == b"1"


def direct_without_a_protocol():
    """As PostgreSQL 17: a client of another protocol is to find out at once."""
    for protocols in [None, ["h2"], ["postgresql2", "postgres"]]:
        try:
            client = Secure(context(alpn=protocols), direct=True)
            client.send(STARTUP)
            rest = client.rest()
            assert rest[:1] != b"R", rest
        except (ssl.SSLError, Ended, ConnectionError):
            pass


def asked_for_with_a_protocol():
    client = Secure(context(alpn=["postgresql"]))
    assert client.tls.selected_alpn_protocol() == "postgresql"
    client.login()
    client = Secure()
    assert client.tls.selected_alpn_protocol() is None
    client.login()
    try:
        Secure(context(alpn=["h2"])).login()
    except (ssl.SSLError, Ended, ConnectionError):
        return
    raise AssertionError("h2 was taken for postgresql")


def direct_in_pieces():
    client = Secure(context(alpn=["postgresql"]), direct=True, piece=1)
    client.login()
    assert client.value("select 1") == b"1"


def versions(*expected):
    """Which versions are spoken, by their numbers, such as 1.2 1.3."""
    known = {
        "1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2,
        "1.3": ssl.TLSVersion.TLSv1_3,
    }
    found = []
    for name, version in known.items():
        try:
            client = Secure(context(version, version))
            client.login()
            found.append(name)
        except (ssl.SSLError, Ended, ConnectionError):
            pass
    assert found == list(expected), found


def resumption():
    """A session goes on, whichever worker the connection meets."""
    for highest in [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2]:
        settings = context(highest, ssl.TLSVersion.TLSv1_2)
        first = Secure(settings)
        first.login()
        session = first.tls.session
        assert not first.tls.session_reused
        first.close()
        for _ in range(12):
            client = Secure(settings, session=session)
            client.login()
            assert client.tls.session_reused, highest
            assert client.value("select 1") == b"1"
            session = client.tls.session
            client.close()


def reload_ends_sessions():
    """What is known of a client from before the files changed does not count any more."""
    settings = context()
    first = Secure(settings)
    first.login()
    again = Secure(settings, session=first.tls.session)
    again.login()
    assert again.tls.session_reused
    console = Secure(settings)
    console.send(startup(user="admin", database="pgbouncer"))
    console.until_ready()
    console.send(query("RELOAD"))
    assert b"RELOAD" in console.message()[1]
    for _ in range(4):
        last = Secure(settings, session=again.tls.session)
        last.login()
        assert not last.tls.session_reused
    for client in [first, again]:
        assert client.value("select 1") == b"1"


def names(*pairs):
    """Which certificate is shown to who asks for a name: pairs of a name and a file."""
    for name, file in zip(pairs[::2], pairs[1::2]):
        settings = context()
        settings.check_hostname = False
        client = Secure(settings, name=name)
        shown = client.tls.getpeercert(binary_form=True)
        with open(file) as text:
            begin = text.read().partition("-----END")[0] + "-----END CERTIFICATE-----\n"
        assert shown == ssl.PEM_cert_to_DER_cert(begin[begin.index("-----BEGIN") :]), name
        client.login()


# Requests to cancel


def cancel():
    """A request to cancel may come with TLS, without, and directly."""
    client = Secure()
    key = [body for kind, body in client.login() if kind == b"K"][0]
    request = struct.pack("!ii", 8 + len(key), 80877102) + key
    for way in [Plain, Secure, lambda: Secure(context(alpn=["postgresql"]), direct=True)]:
        client.send(query("select pg_sleep(60)"))
        started = time.monotonic()
        # It may be ahead of the query, and then cancels nothing.
        while True:
            other = way()
            other.send(request)
            assert other.rest() == b""
            client.socket.settimeout(0.5)
            try:
                answer = client.until_ready()
                break
            except TimeoutError:
                assert time.monotonic() - started < PATIENCE
        client.socket.settimeout(PATIENCE)
        errors = [body for kind, body in answer if kind == b"E"]
        assert errors and b"57014" in errors[0], answer
    assert client.value("select 1") == b"1"


# Many


def many(count="200"):
    """Connections of every kind, one after the other."""
    settings = context()
    session = None
    for number in range(int(count)):
        client = Secure(settings, session=session if number % 3 == 0 else None)
        client.login()
        if number % 2:
            client.send(message(b"X"))
        session = client.tls.session
        client.close()
        if number % 5 == 0:
            client = Plain()
            client.send(SSL_REQUEST)
            client.receive(1)
            client.send(b"nonsense" * 10)
            client.close()


if __name__ == "__main__":
    case, PORT, AUTHORITY = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    globals()[case](*sys.argv[4:])
