// A submission ring of the kernel: mapping it, adding operations, taking completions. See io_uring(7),
// io_uring_setup(2), io_uring_enter(2).
#define _GNU_SOURCE
#include "CLinux.h"
#include <linux/io_uring.h>
#include <linux/time_types.h>

_Static_assert(sizeof(struct martlet_completion) == sizeof(struct io_uring_cqe), "layout of a completion");
_Static_assert(IORING_CQE_F_BUFFER == 1 && IORING_CQE_F_MORE == 2, "flags of a completion");

struct martlet_ring {
    int fd;
    unsigned submission_count, submission_mask, completion_mask;
    unsigned *submission_head, *submission_tail, *submission_flags;
    unsigned *completion_head, *completion_tail;
    struct io_uring_sqe *submissions;
    struct io_uring_cqe *completions;
    unsigned local_tail;
    void *rings;
    size_t rings_size, submissions_size, buffers_size;
    struct io_uring_buf_ring *buffers;
    char *buffer_memory;
    unsigned buffer_count, buffer_size;
    uint16_t buffer_tail;
};

static int ring_setup(unsigned entries, struct io_uring_params *parameters) {
    long fd = syscall(__NR_io_uring_setup, entries, parameters);
    return fd < 0 ? -errno : (int)fd;
}

static int ring_register(int fd, unsigned what, void *argument, unsigned count) {
    return syscall(__NR_io_uring_register, fd, what, argument, count) < 0 ? -errno : 0;
}

static int ring_map(struct martlet_ring *ring, const struct io_uring_params *p) {
    size_t submission_size = p->sq_off.array + p->sq_entries * sizeof(unsigned);
    size_t completion_size = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_size = submission_size > completion_size ? submission_size : completion_size;
    ring->submissions_size = p->sq_entries * sizeof(struct io_uring_sqe);
    char *base = mmap(NULL, ring->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
    if (base == MAP_FAILED) return -errno;
    ring->rings = base;
    void *entries = mmap(NULL, ring->submissions_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
    if (entries == MAP_FAILED) return -errno;
    ring->submissions = entries;
    ring->submission_count = p->sq_entries;
    ring->submission_mask = p->sq_entries - 1;
    ring->completion_mask = p->cq_entries - 1;
    ring->submission_head = (unsigned *)(base + p->sq_off.head);
    ring->submission_tail = (unsigned *)(base + p->sq_off.tail);
    ring->submission_flags = (unsigned *)(base + p->sq_off.flags);
    ring->completion_head = (unsigned *)(base + p->cq_off.head);
    ring->completion_tail = (unsigned *)(base + p->cq_off.tail);
    ring->completions = (struct io_uring_cqe *)(base + p->cq_off.cqes);
    unsigned *array = (unsigned *)(base + p->sq_off.array);
    for (unsigned i = 0; i < p->sq_entries; i++) array[i] = i;
    return 0;
}

int martlet_ring_open(unsigned submissions, unsigned completions, int deferred, struct martlet_ring **result) {
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL
            | (deferred ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0),
        .cq_entries = completions,
    };
    struct martlet_ring *ring = calloc(1, sizeof *ring);
    if (!ring) return -ENOMEM;
    int status = ring->fd = ring_setup(submissions, &parameters);
    if (status >= 0) {
        const unsigned needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE
            | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
        status = (parameters.features & needed) == needed ? ring_map(ring, &parameters) : -EOPNOTSUPP;
    }
    if (status < 0) {
        martlet_ring_close(ring);
        return status;
    }
    *result = ring;
    return 0;
}

int martlet_ring_enable(struct martlet_ring *ring) {
    return ring_register(ring->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

void martlet_ring_close(struct martlet_ring *ring) {
    if (ring->buffers) munmap(ring->buffers, ring->buffers_size);
    if (ring->submissions) munmap(ring->submissions, ring->submissions_size);
    if (ring->rings) munmap(ring->rings, ring->rings_size);
    if (ring->fd >= 0) close(ring->fd);
    free(ring);
}

int martlet_ring_add_buffers(struct martlet_ring *ring, void *memory, unsigned count, unsigned size) {
    ring->buffers_size = count * sizeof(struct io_uring_buf);
    void *base = mmap(NULL, ring->buffers_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (base == MAP_FAILED) return -errno;
    ring->buffers = base;
    ring->buffer_memory = memory;
    ring->buffer_count = count;
    ring->buffer_size = size;
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)base, .ring_entries = count};
    int status = ring_register(ring->fd, IORING_REGISTER_PBUF_RING, &registration, 1);
    if (status < 0) return status;
    for (unsigned i = 0; i < count; i++) martlet_ring_recycle_buffer(ring, i);
    martlet_ring_publish_buffers(ring);
    return 0;
}

void martlet_ring_recycle_buffer(struct martlet_ring *ring, unsigned buffer) {
    struct io_uring_buf *slot = (struct io_uring_buf *)ring->buffers + (ring->buffer_tail++ & (ring->buffer_count - 1));
    slot->addr = (uintptr_t)(ring->buffer_memory + (size_t)buffer * ring->buffer_size);
    slot->len = ring->buffer_size;
    slot->bid = (uint16_t)buffer;
}

void martlet_ring_publish_buffers(struct martlet_ring *ring) {
    __atomic_store_n(&ring->buffers->tail, ring->buffer_tail, __ATOMIC_RELEASE);
}

unsigned martlet_ring_space(const struct martlet_ring *ring) {
    return ring->submission_count - (ring->local_tail - __atomic_load_n(ring->submission_head, __ATOMIC_ACQUIRE));
}

static struct io_uring_sqe *ring_next(struct martlet_ring *ring, int operation, int fd, uint64_t label) {
    struct io_uring_sqe *entry = &ring->submissions[ring->local_tail++ & ring->submission_mask];
    memset(entry, 0, sizeof *entry);
    entry->opcode = (uint8_t)operation;
    entry->fd = fd;
    entry->user_data = label;
    return entry;
}

void martlet_ring_receive(struct martlet_ring *ring, int fd, uint64_t label) {
    struct io_uring_sqe *entry = ring_next(ring, IORING_OP_RECV, fd, label);
    entry->flags = IOSQE_BUFFER_SELECT;
    entry->ioprio = IORING_RECV_MULTISHOT;
}

void martlet_ring_poll(struct martlet_ring *ring, int fd, uint32_t events, uint64_t label) {
    struct io_uring_sqe *entry = ring_next(ring, IORING_OP_POLL_ADD, fd, label);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    events = events << 16 | events >> 16;
#endif
    entry->poll32_events = events;
}

void martlet_ring_cancel(struct martlet_ring *ring, uint64_t target, uint64_t label) {
    struct io_uring_sqe *entry = ring_next(ring, IORING_OP_ASYNC_CANCEL, -1, label);
    entry->addr = target;
    entry->flags = IOSQE_CQE_SKIP_SUCCESS;
}

void martlet_ring_close_file(struct martlet_ring *ring, int fd, uint64_t label) {
    ring_next(ring, IORING_OP_CLOSE, fd, label)->flags = IOSQE_CQE_SKIP_SUCCESS;
}

void martlet_ring_nop(struct martlet_ring *ring, uint64_t label) { ring_next(ring, IORING_OP_NOP, -1, label); }

// MSG_WAITALL makes a short send a failure that is reported with the number of bytes sent.
static const int send_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL;

void martlet_ring_send(struct martlet_ring *ring, int fd, const void *bytes, size_t count, uint64_t label) {
    struct io_uring_sqe *entry = ring_next(ring, IORING_OP_SEND, fd, label);
    entry->addr = (uintptr_t)bytes;
    entry->len = (uint32_t)count;
    entry->msg_flags = send_flags;
    entry->flags = IOSQE_CQE_SKIP_SUCCESS;
}

void martlet_ring_send_message(struct martlet_ring *ring, int fd, const struct msghdr *message, uint64_t label) {
    struct io_uring_sqe *entry = ring_next(ring, IORING_OP_SENDMSG, fd, label);
    entry->addr = (uintptr_t)message;
    entry->len = 1;
    entry->msg_flags = send_flags;
    entry->flags = IOSQE_CQE_SKIP_SUCCESS;
}

int martlet_ring_enter(struct martlet_ring *ring, int64_t timeout, unsigned wanted) {
    __atomic_store_n(ring->submission_tail, ring->local_tail, __ATOMIC_RELEASE);
    unsigned count = ring->local_tail - __atomic_load_n(ring->submission_head, __ATOMIC_ACQUIRE);
    struct __kernel_timespec limit = {.tv_sec = timeout / 1000000, .tv_nsec = timeout % 1000000 * 1000LL};
    struct io_uring_getevents_arg argument = {.ts = (uintptr_t)&limit};
    long taken = timeout < 0
        ? syscall(__NR_io_uring_enter, ring->fd, count, 0, 0, NULL, 0)
        : syscall(__NR_io_uring_enter, ring->fd, count, timeout > 0 ? wanted : 0, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof argument);
    return taken < 0 ? -errno : (int)taken;
}

int martlet_ring_has_overflow(const struct martlet_ring *ring) {
    return (__atomic_load_n(ring->submission_flags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0;
}

unsigned martlet_ring_take(struct martlet_ring *ring, struct martlet_completion *list, unsigned capacity) {
    unsigned head = *ring->completion_head;
    unsigned count = __atomic_load_n(ring->completion_tail, __ATOMIC_ACQUIRE) - head;
    if (count > capacity) count = capacity;
    for (unsigned i = 0; i < count; i++) {
        memcpy(&list[i], &ring->completions[(head + i) & ring->completion_mask], sizeof list[i]);
    }
    __atomic_store_n(ring->completion_head, head + count, __ATOMIC_RELEASE);
    return count;
}
