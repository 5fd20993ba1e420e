// Logs in again and again with SCRAM-SHA-256, so many times a second, and says how long it took.
//
//     login-storm --port 6432 --user bench --password secret --database bench
//                 [--host 127.0.0.1] [--rate 2000] [--seconds 5] [--concurrency 64] [--companion]
//                 [--tls full|resumed]
//
// Each login is a connection of its own, closed at the first ReadyForQuery. The keys are derived once
// for a salt and iteration count and kept, as drivers with a pool do: the storm costs its target more
// than itself. One thread, epoll. Logins start on schedule, as long as at most `concurrency` are under
// way; a latency counts from the scheduled time, so that a target that lags behind cannot hide it.
//
// With TLS each connection makes a whole handshake, or goes on with the last session that its target gave
// out. Certificates are not looked at: what that costs is not the target's.
//
// A companion of another load prints "ready" after its first login, and ends with the first line on its
// standard input, or with the input itself, if its time is not up before.
//
// The result is one line of JSON: logins done and failed, those whose time never came, those that went on
// with a session, and the latency in milliseconds. The exit status is 1 when one failed.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DIGEST = 32, NONCE = 24, BUFFER = 8192, MOST_LOGINS = 4000000 };

static const char *host = "127.0.0.1", *user = "", *password = "", *database = "";
static long port = 0, rate = 2000, seconds = 5, concurrency = 64;
static int isCompanion = 0, resumes = 0;
static SSL_CTX *context = NULL;  // NULL without TLS
static SSL_SESSION *session = NULL;

enum Phase { connecting, askingForTLS, shakingHands, loggingIn };

typedef struct {
    int fd;  // -1 when the place is free
    double scheduled;
    enum Phase phase;
    SSL *tls;
    char first[NONCE + 8];      // client-first-message-bare
    uint8_t expected[DIGEST];   // the server's signature
    int isVerified;             // the server has proved itself
    size_t size;
    uint8_t buffer[BUFFER];
} Login;

static struct {
    char salt[256], iterations[16];
    uint8_t client[DIGEST], stored[DIGEST], server[DIGEST];
} keys;

static int epoll;
static double *latencies;
static long done, failed, resumed;
static char firstFailure[256];

static void fatal(const char *what) {
    fprintf(stderr, "login-storm: %s: %s\n", what, strerror(errno));
    exit(2);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void hmac(const uint8_t *key, const char *message, size_t size, uint8_t *digest) {
    if (!HMAC(EVP_sha256(), key, DIGEST, (const uint8_t *)message, size, digest, NULL)) fatal("HMAC");
}

static void finish(Login *login, const char *failure) {
    if (failure) {
        if (failed++ == 0) snprintf(firstFailure, sizeof firstFailure, "%s", failure);
    } else {
        latencies[done++] = (now() - login->scheduled) * 1e3;
        if (isCompanion && done == 1) {
            puts("ready");
            fflush(stdout);
        }
    }
    SSL_free(login->tls);
    login->tls = NULL;
    close(login->fd);
    login->fd = -1;
}

// The target has given out a session; the one before it has served.
static int keepSession(SSL *tls, SSL_SESSION *given) {
    (void)tls;
    SSL_SESSION_free(session);
    session = given;
    return 1;
}

static void useTLS(void) {
    context = SSL_CTX_new(TLS_client_method());
    if (!context) fatal("SSL_CTX_new");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (resumes) SSL_CTX_sess_set_new_cb(context, keepSession);
}

static void start(Login *login, double scheduled) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fatal("--host takes an IPv4 address");
    memset(login, 0, offsetof(Login, buffer));
    login->scheduled = scheduled;
    login->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (login->fd < 0) fatal("socket");
    int on = 1;
    setsockopt(login->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(login->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        return finish(login, "connect");
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = login};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, login->fd, &event) < 0) fatal("epoll_ctl");
}

// Sends a message: `type` 0 for the startup packet. The socket's buffer takes it whole.
static int transmit(Login *login, char type, const void *body, size_t size) {
    uint8_t message[BUFFER];
    size_t head = type ? 5 : 4;
    if (size + head > sizeof message) return 0;
    uint32_t length = htonl((uint32_t)size + 4);
    message[0] = (uint8_t)type;
    memcpy(message + head - 4, &length, 4);
    memcpy(message + head, body, size);
    if (login->tls) return SSL_write(login->tls, message, (int)(size + head)) == (int)(size + head);
    return send(login->fd, message, size + head, MSG_NOSIGNAL) == (ssize_t)(size + head);
}

static void sendStartup(Login *login) {
    login->phase = loggingIn;
    char body[1024] = {0, 3, 0, 0};  // protocol 3.0
    int length = snprintf(body + 4, sizeof body - 4, "user%c%s%cdatabase%c%s%c", 0, user, 0, 0, database, 0);
    if (length > (int)sizeof body - 6) return finish(login, "the names are too long");
    if (!transmit(login, 0, body, (size_t)length + 5)) finish(login, "send");
}

static void connected(Login *login) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(login->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) return finish(login, strerror(error));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = login};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, login->fd, &event) < 0) fatal("epoll_ctl");
    if (!context) return sendStartup(login);
    login->phase = askingForTLS;
    static const uint8_t request[4] = {0x04, 0xd2, 0x16, 0x2f};  // 80877103
    if (!transmit(login, 0, request, sizeof request)) finish(login, "send");
}

// Goes on with the handshake; the startup packet follows its end.
static void shakeHands(Login *login) {
    int result = SSL_do_handshake(login->tls);
    if (result == 1) {
        resumed += SSL_session_reused(login->tls);
        return sendStartup(login);
    }
    if (SSL_get_error(login->tls, result) != SSL_ERROR_WANT_READ) finish(login, "handshake");
}

static void beginTLS(Login *login) {
    char answer;
    if (recv(login->fd, &answer, 1, 0) != 1 || answer != 'S') return finish(login, "no TLS");
    login->tls = SSL_new(context);
    if (!login->tls || !SSL_set_fd(login->tls, login->fd)) fatal("SSL_new");
    if (session) SSL_set_session(login->tls, session);
    SSL_set_connect_state(login->tls);
    login->phase = shakingHands;
    shakeHands(login);
}

// AuthenticationSASL: the client's first message.
static int beginExchange(Login *login) {
    uint8_t random[NONCE / 4 * 3];
    char nonce[NONCE + 1];
    if (RAND_bytes(random, sizeof random) != 1) fatal("RAND_bytes");
    EVP_EncodeBlock((uint8_t *)nonce, random, sizeof random);
    snprintf(login->first, sizeof login->first, "n=,r=%s", nonce);
    char body[128];
    memcpy(body, "SCRAM-SHA-256", 14);
    uint32_t length = htonl((uint32_t)strlen(login->first) + 3);
    memcpy(body + 14, &length, 4);
    int size = snprintf(body + 18, sizeof body - 18, "n,,%s", login->first);
    return transmit(login, 'p', body, (size_t)size + 18);
}

static void deriveKeys(const char *salt, const char *iterations) {
    if (!strcmp(keys.salt, salt) && !strcmp(keys.iterations, iterations)) return;
    uint8_t bytes[256], salted[DIGEST];
    int size = EVP_DecodeBlock(bytes, (const uint8_t *)salt, (int)strlen(salt));
    if (size < 0) fatal("salt");
    for (const char *end = salt + strlen(salt); end > salt && end[-1] == '='; end--) size--;
    PKCS5_PBKDF2_HMAC(password, -1, bytes, size, atoi(iterations), EVP_sha256(), DIGEST, salted);
    hmac(salted, "Client Key", 10, keys.client);
    hmac(salted, "Server Key", 10, keys.server);
    EVP_Digest(keys.client, DIGEST, keys.stored, NULL, EVP_sha256(), NULL);
    snprintf(keys.salt, sizeof keys.salt, "%s", salt);
    snprintf(keys.iterations, sizeof keys.iterations, "%s", iterations);
}

// AuthenticationSASLContinue: the proof.
static int answerChallenge(Login *login, const char *challenge, size_t size) {
    char serverFirst[512], nonce[256], salt[256], iterations[16], transcript[1200], body[512];
    if (size >= sizeof serverFirst) return 0;
    memcpy(serverFirst, challenge, size);
    serverFirst[size] = 0;
    if (sscanf(serverFirst, "r=%255[^,],s=%255[^,],i=%15[0-9]", nonce, salt, iterations) != 3) return 0;
    deriveKeys(salt, iterations);
    int bare = snprintf(body, sizeof body, "c=biws,r=%s", nonce);
    int all = snprintf(transcript, sizeof transcript, "%s,%s,%s", login->first, serverFirst, body);
    uint8_t proof[DIGEST];
    hmac(keys.stored, transcript, (size_t)all, proof);
    for (int index = 0; index < DIGEST; index++) proof[index] ^= keys.client[index];
    hmac(keys.server, transcript, (size_t)all, login->expected);
    memcpy(body + bare, ",p=", 3);
    int digits = EVP_EncodeBlock((uint8_t *)body + bare + 3, proof, DIGEST);
    return transmit(login, 'p', body, (size_t)(bare + 3 + digits));
}

// AuthenticationSASLFinal: the server's signature.
static int verifyServer(Login *login, const uint8_t *data, size_t size) {
    char signature[64];
    int digits = EVP_EncodeBlock((uint8_t *)signature, login->expected, DIGEST);
    login->isVerified = size == (size_t)digits + 2 && !memcmp(data, "v=", 2)
        && !memcmp(data + 2, signature, (size_t)digits);
    return login->isVerified;
}

static int authenticate(Login *login, const uint8_t *body, size_t size) {
    if (size < 4) return 0;
    uint32_t code;
    memcpy(&code, body, 4);
    switch (ntohl(code)) {
    case 0: return login->isVerified;
    case 10: return beginExchange(login);
    case 11: return answerChallenge(login, (const char *)body + 4, size - 4);
    case 12: return verifyServer(login, body + 4, size - 4);
    default: return 0;
    }
}

// The text of an ErrorResponse: its field M.
static const char *errorText(const uint8_t *body, size_t size) {
    static char text[200];
    for (size_t at = 0; at < size && body[at]; at += strnlen((const char *)body + at, size - at) + 1)
        if (body[at] == 'M') {
            snprintf(text, sizeof text, "%.*s", (int)(size - at - 1), (const char *)body + at + 1);
            return text;
        }
    return "an error without text";
}

// What has come, behind what the buffer has: the count, 0 for nothing yet, -1 at the end.
static ssize_t receive(Login *login) {
    uint8_t *start = login->buffer + login->size;
    size_t space = BUFFER - login->size;
    if (login->tls) {
        int count = SSL_read(login->tls, start, (int)space);
        if (count > 0) return count;
        return SSL_get_error(login->tls, count) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t count = recv(login->fd, start, space, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    return count > 0 ? count : -1;
}

// Reads once; true when there may be more that the socket does not say.
static int readMessages(Login *login) {
    ssize_t count = receive(login);
    if (count == 0) return 0;
    if (count < 0) return finish(login, "connection closed"), 0;
    login->size += (size_t)count;
    size_t at = 0;
    while (login->size - at >= 5) {
        uint32_t length;
        memcpy(&length, login->buffer + at + 1, 4);
        length = ntohl(length);
        if (length < 4 || length >= BUFFER - 1) return finish(login, "message length"), 0;
        if (login->size - at < length + 1) break;
        const uint8_t *body = login->buffer + at + 5;
        switch (login->buffer[at]) {
        case 'R':
            if (!authenticate(login, body, length - 4)) return finish(login, "authentication"), 0;
            break;
        case 'E': return finish(login, errorText(body, length - 4)), 0;
        case 'Z':
            if (!login->isVerified) return finish(login, "no SCRAM login"), 0;
            transmit(login, 'X', "", 0);
            return finish(login, NULL), 0;
        default: break;
        }
        at += length + 1;
    }
    memmove(login->buffer, login->buffer + at, login->size - at);
    login->size -= at;
    return login->tls != NULL;
}

static void readable(Login *login) {
    switch (login->phase) {
    case connecting: return connected(login);
    case askingForTLS: return beginTLS(login);
    case shakingHands: return shakeHands(login);
    case loggingIn:
        while (readMessages(login)) continue;
    }
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double percentile(double share) {
    if (done == 0) return 0;
    long index = (long)((double)done * share);
    return latencies[index < done ? index : done - 1];
}

static long positive(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > 1000000) {
        fprintf(stderr, "login-storm: not a number from 1 to 1,000,000: %s\n", text);
        exit(2);
    }
    return value;
}

static void parseArguments(int count, char **arguments) {
    static const struct option options[] = {
        {"host", 1, NULL, 'h'}, {"port", 1, NULL, 'p'}, {"user", 1, NULL, 'u'},
        {"password", 1, NULL, 'w'}, {"database", 1, NULL, 'd'}, {"rate", 1, NULL, 'r'},
        {"seconds", 1, NULL, 's'}, {"concurrency", 1, NULL, 'c'},
        {"companion", 0, NULL, 'b'}, {"tls", 1, NULL, 't'}, {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
        case 'h': host = optarg; break;
        case 'p': port = positive(optarg); break;
        case 'u': user = optarg; break;
        case 'w': password = optarg; break;
        case 'd': database = optarg; break;
        case 'r': rate = positive(optarg); break;
        case 's': seconds = positive(optarg); break;
        case 'c': concurrency = positive(optarg); break;
        case 'b': isCompanion = 1; break;
        case 't':
            resumes = !strcmp(optarg, "resumed");
            if (!resumes && strcmp(optarg, "full")) fatal("--tls takes full or resumed");
            useTLS();
            break;
        default: exit(2);
        }
    }
    if (!port || !*user || !*database || optind < count || rate * seconds > MOST_LOGINS) {
        fprintf(stderr, "login-storm: --port, --user and --database are needed, at most %d logins\n", MOST_LOGINS);
        exit(2);
    }
}

int main(int count, char **arguments) {
    parseArguments(count, arguments);
    long total = rate * seconds, started = 0, active = 0;
    Login *logins = calloc((size_t)concurrency, sizeof *logins);
    latencies = calloc((size_t)total, sizeof *latencies);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!logins || !latencies || epoll < 0) fatal("start");
    for (long index = 0; index < concurrency; index++) logins[index].fd = -1;
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    if (isCompanion && epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0) fatal("standard input");

    double begin = now(), end = begin + (double)seconds, time = begin;
    // Those under way at the end get two seconds more.
    while ((time = now()) < end + 2 && (time < end || active > 0)) {
        for (long index = 0; index < concurrency && started < total && time < end; index++) {
            double scheduled = begin + (double)started / (double)rate;
            if (scheduled > time) break;
            if (logins[index].fd >= 0) continue;
            started++;
            start(&logins[index], scheduled);
        }
        double next = begin + (double)started / (double)rate;
        int wait = active >= concurrency || started >= total ? 10 : (int)((next - time) * 1e3);
        struct epoll_event events[256];
        int ready = epoll_wait(epoll, events, 256, wait < 0 ? 0 : wait > 10 ? 10 : wait);
        for (int index = 0; index < ready; index++) {
            Login *login = events[index].data.ptr;
            if (!login) {  // the load beside is over, and so is the storm
                epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
                end = now();
                total = (long)((end - begin) * (double)rate) + 1;
            } else readable(login);
        }
        active = 0;
        for (long index = 0; index < concurrency; index++) active += logins[index].fd >= 0;
    }
    double elapsed = (time < end ? time : end) - begin;
    for (long index = 0; index < concurrency; index++)
        if (logins[index].fd >= 0) finish(&logins[index], "no answer in time");
    qsort(latencies, (size_t)done, sizeof *latencies, ascending);
    printf("{\"done\": %ld, \"failed\": %ld, \"not_started\": %ld, \"per_second\": %.1f, "
           "\"resumed\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
           done, failed, total - started, (double)done / elapsed, resumed, percentile(0.5), percentile(0.99));
    if (failed) fprintf(stderr, "login-storm: the first failure: %s\n", firstFailure);
    return failed > 0;
}
