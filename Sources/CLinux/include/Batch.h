// Several sends with one system call, by Linux's older asynchronous I/O (io_submit): on a socket that does
// not block, each is executed before the call returns. Containers that forbid io_uring mostly allow it.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct martlet_batch;

// Opens a batch of at most `capacity` sends. Returns 0 or a negated errno.
int martlet_batch_open(unsigned capacity, struct martlet_batch **result);
void martlet_batch_close(struct martlet_batch *batch);

// Each adds one send; at most `capacity` before the next execute. The memory stays as it is until then.
void martlet_batch_add(struct martlet_batch *batch, int fd, const void *bytes, size_t count);
void martlet_batch_add_vectors(struct martlet_batch *batch, int fd, const struct iovec *vectors, int count);

// Executes what was added, in that order. Puts into `results`, for each, the number of bytes that were
// taken or a negated errno. SIGPIPE has to be ignored.
void martlet_batch_execute(struct martlet_batch *batch, int64_t *results);
