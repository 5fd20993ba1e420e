// A submission ring of the kernel (io_uring), by raw system calls: the program must start where the
// kernel has none. What a ring is made of stays in Ring.c; results are negated errno values.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct martlet_ring;

// What the kernel reports of one operation; the layout is that of struct io_uring_cqe.
struct martlet_completion {
    uint64_t label;
    int32_t result;
    uint32_t flags;
};

// Opens a ring that does nothing until it is enabled. `deferred` asks for DEFER_TASKRUN and
// SINGLE_ISSUER: the kernel then works for the ring only while its thread is in martlet_ring_enter.
int martlet_ring_open(unsigned submissions, unsigned completions, int deferred, struct martlet_ring **result);
// Makes the calling thread the one that uses the ring.
int martlet_ring_enable(struct martlet_ring *ring);
void martlet_ring_close(struct martlet_ring *ring);

// Gives the ring `count` (a power of two) buffers of `size` bytes to receive into.
int martlet_ring_add_buffers(struct martlet_ring *ring, void *memory, unsigned count, unsigned size);
// Gives a buffer back; the kernel sees it after martlet_ring_publish_buffers.
void martlet_ring_recycle_buffer(struct martlet_ring *ring, unsigned buffer);
void martlet_ring_publish_buffers(struct martlet_ring *ring);

// How many operations can still be added before the next enter.
unsigned martlet_ring_space(const struct martlet_ring *ring);
// Each adds one operation; there must be space. `label` comes back with the completion.
void martlet_ring_receive(struct martlet_ring *ring, int fd, uint64_t label);
void martlet_ring_poll(struct martlet_ring *ring, int fd, uint32_t events, uint64_t label);
void martlet_ring_cancel(struct martlet_ring *ring, uint64_t target, uint64_t label);
void martlet_ring_close_file(struct martlet_ring *ring, int fd, uint64_t label);
void martlet_ring_nop(struct martlet_ring *ring, uint64_t label);
// Sends, without waiting; only a failure and a short send are reported.
void martlet_ring_send(struct martlet_ring *ring, int fd, const void *bytes, size_t count, uint64_t label);
void martlet_ring_send_message(struct martlet_ring *ring, int fd, const struct msghdr *message, uint64_t label);

// Hands over what was added, and waits for `wanted` completions for at most `timeout` microseconds; negative
// does not even look. The number of operations the kernel has taken.
int martlet_ring_enter(struct martlet_ring *ring, int64_t timeout, unsigned wanted);
// Whether completions are in the kernel for which the ring had no room.
int martlet_ring_has_overflow(const struct martlet_ring *ring);
// Takes completions, in order.
unsigned martlet_ring_take(struct martlet_ring *ring, struct martlet_completion *list, unsigned capacity);

static const uint32_t martlet_completion_has_buffer = 1;
static const uint32_t martlet_completion_more = 2;
