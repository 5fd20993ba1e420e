// What Swift needs of Linux and cannot reach through Glibc: variadic calls, macros, unions. No feature
// macro is set here: Swift's own Glibc module has the same headers without it, and a type that
// differs between the two modules does not compile. What needs _GNU_SOURCE is in CLinux.c.
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "Batch.h"
#include "Ring.h"

// A result, or the negated errno: errno itself is a macro that Swift would have to fetch apart.
static inline long martlet_recv(int fd, void *buffer, size_t size) {
    ssize_t n = recv(fd, buffer, size, 0);
    return n < 0 ? -(long)errno : n;
}

static inline long martlet_send(int fd, const void *buffer, size_t size) {
    ssize_t n = send(fd, buffer, size, MSG_NOSIGNAL);
    return n < 0 ? -(long)errno : n;
}

// Sends bytes from several places, as one.
long martlet_send_vectors(int fd, const struct iovec *vectors, int count);

static inline int martlet_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

// Waits for less than a millisecond, or only looks where the kernel cannot do that (before Linux 5.11).
// Returns the number of events or a negated errno.
int martlet_epoll_wait_briefly(int epoll, struct epoll_event *events, int capacity, int microseconds);

// Waits for so many microseconds, from one millisecond on rounded up to the next. Returns the number of
// events or a negated errno.
static inline int martlet_epoll_wait(int epoll, struct epoll_event *events, int capacity, int64_t timeout) {
    if (timeout > 0 && timeout < 1000) return martlet_epoll_wait_briefly(epoll, events, capacity, (int)timeout);
    int n = epoll_wait(epoll, events, capacity, (int)((timeout + 999) / 1000));
    return n < 0 ? -errno : n;
}

static inline uint64_t martlet_event_token(const struct epoll_event *event) { return event->data.u64; }

// Accepts a connection, not blocking and closed on exec, or returns a negated errno.
int martlet_accept(int listener, struct sockaddr_storage *peer, socklen_t *size);

static inline int martlet_connect(int fd, const struct sockaddr_storage *address, socklen_t size) {
    return connect(fd, (const struct sockaddr *)address, size) < 0 ? -errno : 0;
}

// Waits until a socket can be written to or read from. Returns 1 when it can, 0 when it takes longer.
static inline int martlet_wait(int fd, int to_write, int milliseconds) {
    struct pollfd entry = {.fd = fd, .events = to_write ? POLLOUT : POLLIN};
    return poll(&entry, 1, milliseconds);
}

static inline int martlet_socket_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

static inline int martlet_set_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

// Returns the value of a socket option that is a number, or a negated errno.
static inline int martlet_option(int fd, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, level, name, &value, &size) < 0 ? -errno : value;
}

static inline int64_t martlet_monotonic_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline int64_t martlet_unix_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// The most descriptors that one message carries: the kernel's limit is a little higher.
#define MARTLET_DESCRIPTOR_LIMIT 250

// Sends bytes and descriptors on a Unix socket. Returns how many bytes went out, the descriptors with the
// first of them, or a negated errno.
long martlet_send_descriptors(int fd, const void *bytes, size_t size, const int *fds, int count);

// Receives bytes and the descriptors that came with them, closed on exec; fds has room for
// MARTLET_DESCRIPTOR_LIMIT. Returns the number of bytes, 0 at the end, or a negated errno.
long martlet_receive_descriptors(int fd, void *bytes, size_t size, int *fds, int *count);

// Makes a descriptor one whose calls wait. Returns 0 or a negated errno.
int martlet_set_blocking(int fd);

static inline int martlet_errno(void) { return errno; }

// Tell ThreadSanitizer that the calling thread has taken the lock of what is at an address, or is about
// to let go of it; without the sanitizer they do nothing.
void martlet_lock_acquired(const void *address);
void martlet_lock_released(const void *address);

// The number of cores that this process may use.
int martlet_core_count(void);

// Returns the peer's user id on a Unix socket and stores its process id, or -1.
int64_t martlet_peer_user(int fd, int32_t *process);

static inline int martlet_open_read(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static inline int martlet_open_append(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return fd < 0 ? -errno : fd;
}

// Returns the number of the user with a name, or -1.
int64_t martlet_user_id(const char *name);

// Makes the process another user's, with all groups of that user. Returns 0 or a negative errno.
int martlet_become_user(const char *name);

// Goes on as a process in the background; the one that was started ends when martlet_leave_terminal is
// called, or with status 1 when that never happens. Returns what to pass there, or a negative errno.
// There must be no other threads yet.
int martlet_daemonize(void);
int martlet_leave_terminal(int ready);

// Sends a message to the supervisor's socket at a path (NOTIFY_SOCKET). Returns 0 or a negative errno.
int martlet_notify(const char *path, const void *state, size_t size);

// The system's log; the facility is LOG_DAEMON or another of syslog.h.
void martlet_open_syslog(const char *ident, int facility);
void martlet_syslog(int priority, const char *text);
void martlet_close_syslog(void);

// Returns the address family of a stream socket that was passed in, or -1 for anything else, and whether
// it listens. The socket is made non-blocking and closed on exec.
int martlet_socket_kind(int fd, int *is_listening);

static inline int martlet_bind(int fd, const struct sockaddr_storage *address, socklen_t size) {
    return bind(fd, (const struct sockaddr *)address, size) < 0 ? -errno : 0;
}

static inline long martlet_write(int fd, const void *buffer, size_t size) { return write(fd, buffer, size); }

static inline void martlet_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

static inline int martlet_local_address(int fd, struct sockaddr_storage *address) {
    socklen_t size = sizeof *address;
    return getsockname(fd, (struct sockaddr *)address, &size);
}
