// Logs in many clients and holds them, so that a benchmark can read what an idle client costs.
//
// usage: idle-clients PORT COUNT USER DATABASE [QUERIES]
//
// Each client logs in (trust), sends QUERIES times `select 1` (default 0), and stays. "ready" on
// standard output says that all are in; the program ends when its standard input does. Clients come
// from several loopback addresses, so that their number is not bounded by one address's ports.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { CLIENTS_PER_ADDRESS = 10000 };

static void fail(int client, const char *what) {
    fprintf(stderr, "idle-clients: client %d: %s (%s)\n", client, what, strerror(errno));
    exit(1);
}

static void readExactly(int client, int fd, uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t got = recv(fd, bytes, count, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fail(client, got == 0 ? "the pooler closed the connection" : "no answer");
        bytes += got;
        count -= (size_t)got;
    }
}

// Reads messages up to and including ReadyForQuery.
static void awaitReady(int client, int fd) {
    uint8_t header[5], body[65536];
    do {
        readExactly(client, fd, header, sizeof header);
        uint32_t length;
        memcpy(&length, header + 1, 4);
        length = ntohl(length);
        if (length < 4 || length - 4 > sizeof body) fail(client, "a message of impossible length");
        readExactly(client, fd, body, length - 4);
        if (header[0] == 'E') fail(client, "refused with an error");
        if (header[0] == 'R' && memcmp(body, "\0\0\0", 4) != 0) fail(client, "asked for a password");
    } while (header[0] != 'Z');
}

static void sendAll(int client, int fd, const void *bytes, size_t count) {
    if (send(fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count) fail(client, "cannot send");
}

static int connectClient(int client, uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) fail(client, "socket");
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in source = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(client / CLIENTS_PER_ADDRESS))};
    struct sockaddr_in target = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0) fail(client, "bind");
    if (connect(fd, (struct sockaddr *)&target, sizeof target) < 0) fail(client, "connect");
    return fd;
}

int main(int count, char **arguments) {
    if (count < 5) {
        fputs("usage: idle-clients PORT COUNT USER DATABASE [QUERIES]\n", stderr);
        return 2;
    }
    uint16_t port = (uint16_t)atoi(arguments[1]);
    int clients = atoi(arguments[2]), queries = count > 5 ? atoi(arguments[5]) : 0;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    uint8_t startup[512] = {0, 0, 0, 0, 0, 3, 0, 0};
    int body = snprintf((char *)startup + 8, sizeof startup - 8, "user%c%s%cdatabase%c%s%c", 0,
                        arguments[3], 0, 0, arguments[4], 0);
    if (body < 0 || (size_t)body + 9 > sizeof startup) return 2;
    uint32_t startupCount = (uint32_t)body + 9, length = htonl(startupCount);
    memcpy(startup, &length, 4);
    static const char query[] = "Q\0\0\0\x0dselect 1"; // with its final zero

    for (int client = 0; client < clients; client++) {
        int fd = connectClient(client, port);
        sendAll(client, fd, startup, startupCount);
        awaitReady(client, fd);
        for (int index = 0; index < queries; index++) {
            sendAll(client, fd, query, sizeof query);
            awaitReady(client, fd);
        }
    }
    puts("ready");
    fflush(stdout);
    char ignored;
    while (read(STDIN_FILENO, &ignored, 1) > 0) {}
    return 0;
}
