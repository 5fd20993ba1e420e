// Runs transactions of many clients in one thread, and measures each to the microsecond.
//
// usage: load [-h HOST] -p PORT -U USER -d DATABASE [-c CLIENTS] [-T SECONDS] [-M simple|extended]
//             [-m plain|failures|set-local|names|writes|equal-settings|settings]
//
// HOST is an IPv4 address or the folder of a Unix socket. Clients log in (trust), run one transaction
// each, and "ready" is printed; a line on standard input starts the clock. Every client then begins the
// next transaction when its last is over, for SECONDS. Printed is one line of JSON: transactions, the
// percentiles of their times in milliseconds, how many transactions the unluckiest and the luckiest
// client had, and the errors that the mix does not ask for. All clients begin at once, which never
// happens again: times count from a quarter of a second on. What hangs for ten seconds, or is closed,
// ends the program with status 1.
//
// The mixes, each beside `plain`, which is a SELECT by primary key as in `pgbench -S`:
//   failures   one statement in a hundred fails
//   set-local  BEGIN, SET LOCAL, SELECT, COMMIT, each a message of its own
//   names      every client has an application_name of its own
//   writes     three transactions in ten are an UPDATE by primary key
//   equal-settings, settings
//              every client has SET its TimeZone, search_path and statement_timeout after its login; all
//              alike, or in four different ways
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CLIENTS = 18000,
    CLIENTS_PER_ADDRESS = 10000,
    MAX_REQUEST = 512,
    READ_SIZE = 64 << 10,
    EVENTS = 256,
    HISTOGRAM_SIZE = 4000000, // microseconds; what took longer is counted in the last
    ACCOUNTS = 100000,
    PATIENCE_MILLISECONDS = 10000,
    SETTLING_NANOSECONDS = 250000000,
};

typedef enum { PLAIN, FAILURES, SET_LOCAL, NAMES, WRITES, EQUAL_SETTINGS, SETTINGS } Mix;
static const char *const mixNames[] = {"plain", "failures", "set-local", "names", "writes",
                                       "equal-settings", "settings"};

typedef struct {
    int fd;
    int step;              // of the transaction, from 0
    bool mayFail;          // the current statement is to fail
    uint8_t header[5];     // of the message that is arriving
    uint32_t headerCount;  // 0 <= headerCount <= 5
    uint32_t bodyRemaining;
    uint64_t began;        // nanoseconds
    uint32_t transactions;
} Client;

static const char *host = "127.0.0.1", *user = "", *database = "";
static int port, clientCount = 1, seconds = 2;
static bool extended;
static Mix mix = PLAIN;

static Client *clients;
static uint32_t *histogram;
static uint64_t transactions, errors;
// Of those that began after the settling.
static uint64_t timed, totalMicroseconds, longest, settledAt;
static uint64_t randomState = 88172645463325252u;

static void fail(const char *what) {
    fprintf(stderr, "load: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// xorshift64: the same numbers in every run.
static uint32_t randomBelow(uint32_t limit) {
    randomState ^= randomState << 13;
    randomState ^= randomState >> 7;
    randomState ^= randomState << 17;
    return (uint32_t)((randomState >> 32) * limit >> 32);
}

// Requests

static size_t appendMessage(uint8_t *to, char type, const void *body, size_t count) {
    uint32_t length = htonl((uint32_t)count + 4);
    to[0] = (uint8_t)type;
    memcpy(to + 1, &length, 4);
    if (count > 0) memcpy(to + 5, body, count);
    return count + 5;
}

static int stepCount(void) { return mix == SET_LOCAL ? 4 : 1; }

static void writeStatement(char *text, size_t size, Client *client) {
    uint32_t account = randomBelow(ACCOUNTS) + 1;
    client->mayFail = false;
    if (mix == SET_LOCAL && client->step != 2) {
        switch (client->step) {
        case 0: snprintf(text, size, "BEGIN"); break;
        case 1: snprintf(text, size, "SET LOCAL app.tenant = '%u'", account); break;
        default: snprintf(text, size, "COMMIT");
        }
        return;
    }
    if (mix == FAILURES && randomBelow(100) == 0) {
        client->mayFail = true;
        snprintf(text, size, "SELECT 1/0");
    } else if (mix == WRITES && randomBelow(10) < 3) {
        snprintf(text, size, "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = %u", account);
    } else {
        snprintf(text, size, "SELECT abalance FROM pgbench_accounts WHERE aid = %u", account);
    }
}

static size_t writeRequest(uint8_t *to, Client *client) {
    char text[256];
    writeStatement(text, sizeof text, client);
    size_t textCount = strlen(text) + 1;
    if (!extended) return appendMessage(to, 'Q', text, textCount);
    uint8_t body[300] = {0}; // the unnamed statement
    memcpy(body + 1, text, textCount);
    body[1 + textCount] = body[2 + textCount] = 0; // no parameter types
    size_t count = appendMessage(to, 'P', body, textCount + 3);
    static const uint8_t bind[8] = {0}, describe[2] = {'P', 0}, execute[5] = {0};
    count += appendMessage(to + count, 'B', bind, sizeof bind);
    count += appendMessage(to + count, 'D', describe, sizeof describe);
    count += appendMessage(to + count, 'E', execute, sizeof execute);
    return count + appendMessage(to + count, 'S', NULL, 0);
}

static void sendRequest(Client *client) {
    uint8_t request[MAX_REQUEST];
    size_t count = writeRequest(request, client);
    if (client->step == 0) client->began = now();
    // A request is far smaller than a socket's buffer, and the last one has been answered.
    if (send(client->fd, request, count, MSG_NOSIGNAL) != (ssize_t)count) fail("cannot send");
}

// Answers

static void transactionEnded(Client *client) {
    transactions++;
    client->transactions++;
    if (client->began < settledAt) return;
    uint64_t microseconds = (now() - client->began) / 1000;
    timed++;
    totalMicroseconds += microseconds;
    if (microseconds > longest) longest = microseconds;
    histogram[microseconds < HISTOGRAM_SIZE ? microseconds : HISTOGRAM_SIZE - 1]++;
}

// Follows the messages; true when ReadyForQuery was among them.
static bool follow(Client *client, const uint8_t *bytes, size_t count) {
    bool ready = false;
    while (count > 0) {
        if (client->headerCount < 5) {
            size_t missing = 5 - client->headerCount, taken = count < missing ? count : missing;
            memcpy(client->header + client->headerCount, bytes, taken);
            client->headerCount += (uint32_t)taken;
            bytes += taken;
            count -= taken;
            if (client->headerCount < 5) return ready;
            uint32_t length;
            memcpy(&length, client->header + 1, 4);
            length = ntohl(length);
            if (length < 4) fail("a message of impossible length");
            client->bodyRemaining = length - 4;
            if (client->header[0] == 'E' && !client->mayFail) errors++;
        }
        size_t taken = count < client->bodyRemaining ? count : client->bodyRemaining;
        bytes += taken;
        count -= taken;
        client->bodyRemaining -= (uint32_t)taken;
        if (client->bodyRemaining == 0) {
            client->headerCount = 0;
            if (client->header[0] == 'Z') ready = true;
        }
    }
    return ready;
}

// Reads what is there; true when the last request has been answered whole.
static bool receive(Client *client) {
    static uint8_t buffer[READ_SIZE];
    ssize_t count = recv(client->fd, buffer, sizeof buffer, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count <= 0) fail("the pooler closed a connection");
    return follow(client, buffer, (size_t)count);
}

// Login

static int connectTCP(int number) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    // Several addresses, so that the number of clients is not bounded by one address's ports.
    struct sockaddr_in source = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 20 + (uint32_t)(number / CLIENTS_PER_ADDRESS))};
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &target.sin_addr) != 1) fail("HOST is no IPv4 address");
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0) fail("bind");
    if (connect(fd, (struct sockaddr *)&target, sizeof target) < 0) fail("connect");
    return fd;
}

static int connectUnix(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un target = {.sun_family = AF_UNIX};
    snprintf(target.sun_path, sizeof target.sun_path, "%s/.s.PGSQL.%d", host, port);
    if (fd < 0 || connect(fd, (struct sockaddr *)&target, sizeof target) < 0) fail("connect");
    return fd;
}

static void awaitAnswer(Client *client) {
    while (!receive(client)) {}
    if (errors > 0) fail("an error before the clock started");
}

static void login(Client *client, int number) {
    client->fd = host[0] == '/' ? connectUnix() : connectTCP(number);
    struct timeval limit = {.tv_sec = PATIENCE_MILLISECONDS / 1000};
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char name[32];
    snprintf(name, sizeof name, mix == NAMES ? "load %d" : "load", number);
    uint8_t startup[MAX_REQUEST] = {0, 0, 0, 0, 0, 3, 0, 0};
    int body = snprintf((char *)startup + 8, sizeof startup - 8,
                        "user%c%s%cdatabase%c%s%capplication_name%c%s%c", 0, user, 0, 0, database, 0, 0,
                        name, 0);
    if (body < 0 || (size_t)body + 9 > sizeof startup) fail("names too long");
    uint32_t count = (uint32_t)body + 9, length = htonl(count);
    memcpy(startup, &length, 4);
    if (send(client->fd, startup, count, MSG_NOSIGNAL) != (ssize_t)count) fail("cannot send");
    awaitAnswer(client);
}

static void sendSettings(Client *client, int number) {
    static const char *const zones[] = {"UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York"};
    int kind = mix == SETTINGS ? number % 4 : 0;
    char text[256];
    snprintf(text, sizeof text,
             "SET timezone = '%s'; SET search_path = public, kind_%d; SET statement_timeout = %d",
             zones[kind], kind, 60000 + kind);
    uint8_t request[MAX_REQUEST];
    size_t count = appendMessage(request, 'Q', text, strlen(text) + 1);
    if (send(client->fd, request, count, MSG_NOSIGNAL) != (ssize_t)count) fail("cannot send");
    awaitAnswer(client);
}

// The run

static void warmUp(void) {
    for (int number = 0; number < clientCount; number++) {
        Client *client = &clients[number];
        if (mix == EQUAL_SETTINGS || mix == SETTINGS) sendSettings(client, number);
        for (client->step = 0; client->step < stepCount(); client->step++) {
            sendRequest(client);
            awaitAnswer(client);
        }
    }
}

static void run(int epoll) {
    uint64_t end = now() + (uint64_t)seconds * 1000000000u;
    settledAt = now() + SETTLING_NANOSECONDS;
    for (int number = 0; number < clientCount; number++) {
        clients[number].step = 0;
        sendRequest(&clients[number]);
    }
    struct epoll_event events[EVENTS];
    while (now() < end) {
        int ready = epoll_wait(epoll, events, EVENTS, PATIENCE_MILLISECONDS);
        if (ready == 0) fail("no answer");
        for (int index = 0; index < ready; index++) {
            Client *client = events[index].data.ptr;
            if (!receive(client)) continue;
            if (++client->step == stepCount()) {
                transactionEnded(client);
                client->step = 0;
            }
            sendRequest(client);
        }
    }
}

static double percentile(double share) {
    uint64_t wanted = (uint64_t)((double)timed * share), seen = 0;
    for (int microseconds = 0; microseconds < HISTOGRAM_SIZE; microseconds++) {
        seen += histogram[microseconds];
        if (seen > wanted) return microseconds / 1000.0;
    }
    return (double)longest / 1000;
}

static void report(double elapsed) {
    uint32_t fewest = UINT32_MAX, most = 0;
    for (int number = 0; number < clientCount; number++) {
        uint32_t count = clients[number].transactions;
        if (count < fewest) fewest = count;
        if (count > most) most = count;
    }
    double average = timed ? (double)totalMicroseconds / (double)timed / 1000 : 0;
    printf("{\"transactions\": %llu, \"tps\": %.1f, \"average\": %.4f, \"p50\": %.3f, \"p90\": %.3f, "
           "\"p99\": %.3f, \"max\": %.3f, \"fewest\": %u, \"most\": %u, \"errors\": %llu}\n",
           (unsigned long long)transactions, (double)transactions / elapsed, average, percentile(0.5),
           percentile(0.9), percentile(0.99), (double)longest / 1000, fewest, most, (unsigned long long)errors);
}

static void usage(void) {
    fputs("usage: load [-h HOST] -p PORT -U USER -d DATABASE [-c CLIENTS] [-T SECONDS]\n"
          "            [-M simple|extended]\n"
          "            [-m plain|failures|set-local|names|writes|equal-settings|settings]\n", stderr);
    exit(2);
}

static Mix parseMix(const char *name) {
    for (int index = 0; index < (int)(sizeof mixNames / sizeof *mixNames); index++) {
        if (strcmp(name, mixNames[index]) == 0) return (Mix)index;
    }
    usage();
    return PLAIN;
}

static void parseArguments(int count, char **arguments) {
    int option;
    while ((option = getopt(count, arguments, "h:p:U:d:c:T:M:m:")) >= 0) {
        switch (option) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'U': user = optarg; break;
        case 'd': database = optarg; break;
        case 'c': clientCount = atoi(optarg); break;
        case 'T': seconds = atoi(optarg); break;
        case 'M': extended = strcmp(optarg, "extended") == 0; break;
        case 'm': mix = parseMix(optarg); break;
        default: usage();
        }
    }
    if (port <= 0 || port > 65535 || clientCount <= 0 || clientCount > MAX_CLIENTS || seconds <= 0 ||
        seconds > 600 || optind != count)
        usage();
}

int main(int count, char **arguments) {
    parseArguments(count, arguments);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    clients = calloc((size_t)clientCount, sizeof *clients);
    histogram = calloc(HISTOGRAM_SIZE, sizeof *histogram);
    if (clients == NULL || histogram == NULL) fail("out of memory");
    for (int number = 0; number < clientCount; number++) login(&clients[number], number);
    warmUp();

    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int number = 0; number < clientCount; number++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[number]};
        fcntl(clients[number].fd, F_SETFL, O_NONBLOCK);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[number].fd, &event) < 0) fail("epoll");
    }
    puts("ready");
    fflush(stdout);
    char line[16];
    if (fgets(line, sizeof line, stdin) == NULL) return 1;
    uint64_t began = now();
    run(epoll);
    report((double)(now() - began) / 1e9);
    return 0;
}
