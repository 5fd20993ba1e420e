// What of CLinux.h needs _GNU_SOURCE; the rest is inline in the header.
#define _GNU_SOURCE
#include "CLinux.h"
#include <sched.h>

int martlet_accept(int listener, struct sockaddr_storage *peer, socklen_t *size) {
    *size = sizeof *peer;
    int fd = accept4(listener, (struct sockaddr *)peer, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

long martlet_send_vectors(int fd, const struct iovec *vectors, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count};
    ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
    return n < 0 ? -(long)errno : n;
}

int64_t martlet_peer_user(int fd, int32_t *process) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -1;
    *process = credentials.pid;
    return credentials.uid;
}

int martlet_core_count(void) {
    cpu_set_t cores;
    return sched_getaffinity(0, sizeof cores, &cores) < 0 ? 1 : CPU_COUNT(&cores);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MARTLET_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define MARTLET_THREAD_SANITIZER
#endif

#ifdef MARTLET_THREAD_SANITIZER
void __tsan_acquire(void *address);
void __tsan_release(void *address);
void martlet_lock_acquired(const void *address) { __tsan_acquire((void *)address); }
void martlet_lock_released(const void *address) { __tsan_release((void *)address); }
#else
void martlet_lock_acquired(const void *address) { (void)address; }
void martlet_lock_released(const void *address) { (void)address; }
#endif

long martlet_send_descriptors(int fd, const void *bytes, size_t size, const int *fds, int count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MARTLET_DESCRIPTOR_LIMIT * sizeof(int))];
    } control;
    if (count < 0 || count > MARTLET_DESCRIPTOR_LIMIT) return -EINVAL;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, (size_t)count * sizeof(int));
    }
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL); while (sent < 0 && errno == EINTR);
    return sent < 0 ? -(long)errno : sent;
}

long martlet_receive_descriptors(int fd, void *bytes, size_t size, int *fds, int *count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MARTLET_DESCRIPTOR_LIMIT * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *count = 0;
    ssize_t received;
    do received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC); while (received < 0 && errno == EINTR);
    if (received < 0) return -(long)errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int some = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds + *count, CMSG_DATA(header), (size_t)some * sizeof(int));
        *count += some;
    }
    // The kernel has closed what did not fit: there is nothing to go on with.
    return message.msg_flags & MSG_CTRUNC ? -EMSGSIZE : received;
}

int martlet_set_blocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) return -errno;
    return 0;
}

int martlet_epoll_wait_briefly(int epoll, struct epoll_event *events, int capacity, int microseconds) {
#ifdef SYS_epoll_pwait2
    struct timespec limit = {.tv_nsec = microseconds * 1000L};
    long n = syscall(SYS_epoll_pwait2, epoll, events, capacity, &limit, NULL, 0);
    // A sandbox that has never heard of the call may say that it is forbidden.
    if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n < 0 ? -errno : (int)n;
#endif
    return martlet_epoll_wait(epoll, events, capacity, 0);
}
