// What a process does to itself at its start, and tells its supervisor. Swift cannot call fork, and the
// rest is of a kind that one wants to read as the manuals spell it.
#define _GNU_SOURCE
#include "CLinux.h"
#include <stdio.h>
#include <sys/wait.h>
#include <syslog.h>

int64_t martlet_user_id(const char *name) {
    struct passwd *entry = getpwnam(name);
    return entry ? (int64_t)entry->pw_uid : -1;
}

int martlet_become_user(const char *name) {
    struct passwd *entry = getpwnam(name);
    if (!entry) return -ENOENT;
    if (initgroups(name, entry->pw_gid) < 0) return -errno;
    if (setgid(entry->pw_gid) < 0 || setuid(entry->pw_uid) < 0) return -errno;
    return 0;
}

// Two forks, so that the process has a session of its own and no way to get a terminal. The first process
// waits for one byte, which says that the pooler is up, and its exit status says whether that came.
int martlet_daemonize(void) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0) return -errno;
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child > 0) {
        close(ready[1]);
        char byte;
        ssize_t count;
        do count = read(ready[0], &byte, 1); while (count < 0 && errno == EINTR);
        _exit(count == 1 ? 0 : 1);
    }
    close(ready[0]);
    if (setsid() < 0) return -errno;
    child = fork();
    if (child < 0) return -errno;
    if (child > 0) _exit(0);
    return ready[1];
}

int martlet_leave_terminal(int ready) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return -errno;
    for (int fd = 0; fd <= 2; fd++)
        if (dup2(null, fd) < 0) return -errno;
    if (null > 2) close(null);
    ssize_t count;
    do count = write(ready, "r", 1); while (count < 0 && errno == EINTR);
    close(ready);
    return 0;
}

int martlet_notify(const char *path, const void *state, size_t size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    if (address.sun_path[0] == '@') address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    socklen_t address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    ssize_t count = sendto(fd, state, size, MSG_NOSIGNAL | MSG_DONTWAIT,
                           (const struct sockaddr *)&address, address_size);
    int status = count < 0 ? -errno : 0;
    close(fd);
    return status;
}

void martlet_open_syslog(const char *ident, int facility) {
    // The log keeps the pointer.
    static char name[64];
    snprintf(name, sizeof name, "%s", ident);
    openlog(name, LOG_PID | LOG_NDELAY, facility);
}

void martlet_syslog(int priority, const char *text) { syslog(priority, "%s", text); }

void martlet_close_syslog(void) { closelog(); }

int martlet_socket_kind(int fd, int *is_listening) {
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) return -1;
    size = sizeof *is_listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, is_listening, &size) < 0) return -1;
    struct sockaddr_storage address;
    size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) return -1;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -1;
    return address.ss_family;
}
