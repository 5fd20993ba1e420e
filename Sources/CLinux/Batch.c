// Sends by io_submit(2). Nothing here blocks: a socket that does not block completes at once, with EAGAIN
// where it takes nothing.
#define _GNU_SOURCE
#include "CLinux.h"
#include <linux/aio_abi.h>

struct martlet_batch {
    aio_context_t context;
    unsigned count, capacity;
    struct iocb **pointers;
    struct iocb controls[];
};

int martlet_batch_open(unsigned capacity, struct martlet_batch **result) {
    struct martlet_batch *batch = calloc(1, sizeof *batch + capacity * sizeof(struct iocb));
    struct iocb **pointers = calloc(capacity, sizeof *pointers);
    int status = batch && pointers ? 0 : -ENOMEM;
    if (status == 0 && syscall(__NR_io_setup, capacity, &batch->context) < 0) status = -errno;
    if (status < 0) {
        free(pointers);
        free(batch);
        return status;
    }
    batch->capacity = capacity;
    batch->pointers = pointers;
    for (unsigned i = 0; i < capacity; i++) pointers[i] = &batch->controls[i];
    *result = batch;
    return 0;
}

void martlet_batch_close(struct martlet_batch *batch) {
    syscall(__NR_io_destroy, batch->context);
    free(batch->pointers);
    free(batch);
}

static void add(struct martlet_batch *batch, unsigned operation, int fd, const void *what, size_t count) {
    unsigned index = batch->count++;
    batch->controls[index] = (struct iocb){
        .aio_data = index,
        .aio_lio_opcode = operation,
        .aio_fildes = fd,
        .aio_buf = (uintptr_t)what,
        .aio_nbytes = count,
    };
}

void martlet_batch_add(struct martlet_batch *batch, int fd, const void *bytes, size_t count) {
    add(batch, IOCB_CMD_PWRITE, fd, bytes, count);
}

void martlet_batch_add_vectors(struct martlet_batch *batch, int fd, const struct iovec *vectors, int count) {
    add(batch, IOCB_CMD_PWRITEV, fd, vectors, count);
}

// Takes the results of `count` sends. By the system call rather than from the mapped ring of the context:
// the ring's layout is no interface, and the call costs as much as one send of many saves.
static void take(struct martlet_batch *batch, unsigned count, int64_t *results) {
    struct io_event events[64];
    while (count > 0) {
        unsigned wanted = count < 64 ? count : 64;
        long taken = syscall(__NR_io_getevents, batch->context, wanted, wanted, events, NULL);
        if (taken < 0 && errno != EINTR) abort();
        for (long i = 0; i < taken; i++) results[events[i].data] = events[i].res;
        if (taken > 0) count -= taken;
    }
}

void martlet_batch_execute(struct martlet_batch *batch, int64_t *results) {
    unsigned next = 0, taken = 0;
    while (next < batch->count) {
        long submitted = syscall(__NR_io_submit, batch->context, batch->count - next, batch->pointers + next);
        if (submitted > 0) {
            next += submitted;
            taken += submitted;
        } else {
            // The kernel did not begin with this one.
            results[next++] = submitted < 0 ? -errno : -EAGAIN;
        }
    }
    take(batch, taken, results);
    batch->count = 0;
}
