// A PostgreSQL server that knows its answers by heart.
//
// It takes PostgreSQL's own cost out of a benchmark of poolers: every login is trusted and every
// SELECT gets the same answer, the one-row, one-integer shape of `pgbench -S`. A query that starts
// with "SELECT repeat" gets 2,000 rows of 1,000 bytes; SET and friends get their command tag.
//
// One thread, level-triggered epoll. A connection keeps an input buffer for a message that has not
// fully arrived and an output buffer for what the peer has not taken yet; while output is
// pending, input is not read, so that a slow reader slows the sender and memory stays bounded.
//
// usage: canned-server PORT        (127.0.0.1; SIGINT and SIGTERM end it; so does its parent's death)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_MESSAGE = 64 << 20, READ_SIZE = 64 << 10, EVENTS = 256, PENDING_LIMIT = 4 << 20 };

typedef struct {
    uint8_t *bytes;
    size_t start, end, capacity; // 0 <= start <= end <= capacity
} Buffer;

typedef struct Connection {
    int fd;
    bool loggedIn, closing, waitsForWritability;
    Buffer input, output;
    struct Connection *nextDead;
} Connection;

// Connections that ended during this batch: later events of the batch may still name them.
static Connection *dead;

static void *checked(void *pointer) {
    if (pointer == NULL) {
        fputs("canned-server: out of memory\n", stderr);
        exit(1);
    }
    return pointer;
}

static void reserve(Buffer *buffer, size_t count) {
    if (buffer->capacity - buffer->end >= count) return;
    size_t held = buffer->end - buffer->start;
    if (buffer->start > 0) memmove(buffer->bytes, buffer->bytes + buffer->start, held);
    buffer->start = 0;
    buffer->end = held;
    if (buffer->capacity - held >= count) return;
    size_t capacity = buffer->capacity ? buffer->capacity : 1024;
    while (capacity - held < count) capacity *= 2;
    buffer->bytes = checked(realloc(buffer->bytes, capacity));
    buffer->capacity = capacity;
}

static void append(Buffer *buffer, const void *bytes, size_t count) {
    if (count == 0) return;
    reserve(buffer, count);
    memcpy(buffer->bytes + buffer->end, bytes, count);
    buffer->end += count;
}

static void appendMessage(Buffer *buffer, char type, const void *body, size_t count) {
    uint32_t length = htonl((uint32_t)count + 4);
    append(buffer, &type, 1);
    append(buffer, &length, 4);
    append(buffer, body, count);
}

static uint32_t readLength(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, 4);
    return ntohl(value);
}

// The answers, encoded once.
static Buffer greeting, rowDescription, dataRow, selectTag, setTag, idle, largeAnswer;

static void appendParameter(const char *name, const char *value) {
    char body[128];
    int count = snprintf(body, sizeof body, "%s%c%s", name, 0, value);
    appendMessage(&greeting, 'S', body, (size_t)count + 1);
}

static void appendRowDescription(Buffer *buffer, const char *name, uint32_t type, int16_t size) {
    uint8_t body[64] = {0, 1}; // one column
    size_t count = 2, nameCount = strlen(name) + 1;
    memcpy(body + count, name, nameCount);
    count += nameCount + 4 + 2; // no table, no column number
    type = htonl(type);
    memcpy(body + count, &type, 4);
    count += 4;
    uint16_t wireSize = htons((uint16_t)size);
    memcpy(body + count, &wireSize, 2);
    count += 2;
    memset(body + count, 0xff, 4); // no type modifier
    count += 4 + 2;                // text format
    appendMessage(buffer, 'T', body, count);
}

static void appendDataRow(Buffer *buffer, const char *value, uint32_t valueCount) {
    uint8_t body[2048] = {0, 1};
    uint32_t length = htonl(valueCount);
    memcpy(body + 2, &length, 4);
    memcpy(body + 6, value, valueCount);
    appendMessage(buffer, 'D', body, 6 + valueCount);
}

static void encodeAnswers(void) {
    static const uint8_t authenticationOk[4] = {0}, key[8] = {0, 0, 0, 1, 0, 0, 0, 2};
    appendMessage(&greeting, 'R', authenticationOk, 4);
    appendParameter("server_version", "15.0");
    appendParameter("server_encoding", "UTF8");
    appendParameter("client_encoding", "UTF8");
    appendParameter("application_name", "");
    appendParameter("DateStyle", "ISO, MDY");
    appendParameter("IntervalStyle", "postgres");
    appendParameter("TimeZone", "Etc/UTC");
    appendParameter("integer_datetimes", "on");
    appendParameter("standard_conforming_strings", "on");
    appendParameter("is_superuser", "off");
    appendParameter("session_authorization", "bench");
    appendMessage(&greeting, 'K', key, 8);
    appendMessage(&idle, 'Z', "I", 1);
    append(&greeting, idle.bytes, idle.end);

    appendRowDescription(&rowDescription, "abalance", 23, 4);
    appendDataRow(&dataRow, "0", 1);
    appendMessage(&selectTag, 'C', "SELECT 1", 9);
    appendMessage(&setTag, 'C', "SET", 4);

    char thousand[1000];
    memset(thousand, 'x', sizeof thousand);
    appendRowDescription(&largeAnswer, "repeat", 25, -1);
    for (int row = 0; row < 2000; row++) appendDataRow(&largeAnswer, thousand, sizeof thousand);
    appendMessage(&largeAnswer, 'C', "SELECT 2000", 12);
}

static void appendBuffer(Buffer *buffer, const Buffer *other) {
    append(buffer, other->bytes + other->start, other->end - other->start);
}

static bool startsWith(const uint8_t *text, size_t count, const char *prefix) {
    size_t prefixCount = strlen(prefix);
    return count >= prefixCount && strncasecmp((const char *)text, prefix, prefixCount) == 0;
}

static void answerQuery(Buffer *output, const uint8_t *text, size_t count) {
    if (startsWith(text, count, "select repeat")) {
        appendBuffer(output, &largeAnswer);
    } else if (count <= 2) { // an empty query, or ";"
        appendMessage(output, 'I', NULL, 0);
    } else if (startsWith(text, count, "select")) {
        appendBuffer(output, &rowDescription);
        appendBuffer(output, &dataRow);
        appendBuffer(output, &selectTag);
    } else {
        appendBuffer(output, &setTag);
    }
    appendBuffer(output, &idle);
}

static void answer(Connection *connection, uint8_t type, const uint8_t *body, size_t count) {
    static const uint8_t noParameters[2] = {0};
    Buffer *output = &connection->output;
    switch (type) {
    case 'Q': answerQuery(output, body, count); break;
    case 'P': appendMessage(output, '1', NULL, 0); break;
    case 'B': appendMessage(output, '2', NULL, 0); break;
    case 'C': appendMessage(output, '3', NULL, 0); break;
    case 'D':
        if (count > 0 && body[0] == 'S') appendMessage(output, 't', noParameters, 2);
        appendBuffer(output, &rowDescription);
        break;
    case 'E':
        appendBuffer(output, &dataRow);
        appendBuffer(output, &selectTag);
        break;
    case 'S': appendBuffer(output, &idle); break;
    case 'H': break; // Flush: everything is sent at once anyway
    default: connection->closing = true; // Terminate, or something it was not asked to know
    }
}

static void answerStartup(Connection *connection, uint32_t code) {
    if (code >> 16 == 3) {
        connection->loggedIn = true;
        appendBuffer(&connection->output, &greeting);
    } else if (code == 80877103 || code == 80877104) { // SSLRequest, GSSENCRequest
        append(&connection->output, "N", 1);
    } else {
        connection->closing = true; // CancelRequest
    }
}

// Answers complete messages. Stops early when much output is pending.
static void consumeInput(Connection *connection) {
    Buffer *input = &connection->input;
    while (!connection->closing) {
        if (connection->output.end - connection->output.start > PENDING_LIMIT) return;
        uint8_t *bytes = input->bytes + input->start;
        size_t held = input->end - input->start, typeCount = connection->loggedIn ? 1 : 0;
        if (held < typeCount + 4) break;
        size_t length = readLength(bytes + typeCount);
        if (length < (connection->loggedIn ? 4u : 8u) || length > MAX_MESSAGE) {
            connection->closing = true;
            break;
        }
        if (held < typeCount + length) break;
        if (connection->loggedIn) {
            answer(connection, bytes[0], bytes + 5, length - 4);
        } else {
            answerStartup(connection, readLength(bytes + 4));
        }
        input->start += typeCount + length;
    }
    if (input->start == input->end) input->start = input->end = 0;
}

static void watch(int epoll, Connection *connection) {
    bool waits = connection->output.end > connection->output.start;
    if (waits == connection->waitsForWritability) return;
    connection->waitsForWritability = waits;
    struct epoll_event event = {.events = waits ? EPOLLOUT : EPOLLIN, .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

// False when the connection is gone.
static bool flush(Connection *connection) {
    Buffer *output = &connection->output;
    while (output->start < output->end) {
        ssize_t sent = send(
            connection->fd, output->bytes + output->start, output->end - output->start, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno == EAGAIN;
        output->start += (size_t)sent;
    }
    output->start = output->end = 0;
    return !connection->closing;
}

static bool receive(Connection *connection) {
    Buffer *input = &connection->input;
    reserve(input, READ_SIZE);
    ssize_t count =
        recv(connection->fd, input->bytes + input->end, input->capacity - input->end, 0);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) return false;
    input->end += (size_t)count;
    return true;
}

static bool step(int epoll, Connection *connection, uint32_t events) {
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        if (!receive(connection)) return false;
    }
    // Flushing may make room for messages that already arrived.
    do {
        consumeInput(connection);
        bool wasFull = connection->output.end - connection->output.start > PENDING_LIMIT;
        if (!flush(connection)) return false;
        if (!wasFull || connection->output.end > connection->output.start) break;
    } while (true);
    watch(epoll, connection);
    return true;
}

static void end(Connection *connection) {
    close(connection->fd);
    connection->fd = -1;
    connection->nextDead = dead;
    dead = connection;
}

static void freeDead(void) {
    while (dead != NULL) {
        Connection *connection = dead;
        dead = connection->nextDead;
        free(connection->input.bytes);
        free(connection->output.bytes);
        free(connection);
    }
}

static void acceptAll(int epoll, int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *connection = checked(calloc(1, sizeof *connection));
        connection->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listenOn(uint16_t port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0) {
        perror("canned-server");
        exit(1);
    }
    return fd;
}

int main(int count, char **arguments) {
    int port = count == 2 ? atoi(arguments[1]) : 0;
    if (port <= 0 || port > 65535) {
        fputs("usage: canned-server PORT\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    encodeAnswers();
    int listener = listenOn((uint16_t)port), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);

    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int index = 0; index < ready; index++) {
            Connection *connection = events[index].data.ptr;
            if (connection == NULL) {
                acceptAll(epoll, listener);
            } else if (connection->fd >= 0 && !step(epoll, connection, events[index].events)) {
                end(connection);
            }
        }
        freeDead();
    }
}
