// What of CLinux.h needs _GNU_SOURCE; the rest is inline in the header.
#define _GNU_SOURCE
#include "CLinux.h"
#include <sched.h>

int martlet_accept(int listener, struct sockaddr_storage *peer, socklen_t *size) {
    *size = sizeof *peer;
    int fd = accept4(listener, (struct sockaddr *)peer, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 ? -errno : fd;
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
