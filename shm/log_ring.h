/* The lines of a worker's access log that are not written yet.
 *
 * A ring of bytes per slot: the event thread of the worker puts whole lines in, one thread of the same worker
 * takes them out and writes them (worker/access_log.h). It outlives both: the next worker in the slot writes
 * what a dead one has left, so a crash loses no line of an answer that was sent. What a crash may do is to
 * write the last batch a second time.
 *
 * Positions count bytes since the start and are believed only as far as they fit the ring. Nothing else
 * touches it. */
#ifndef SHM_LOG_RING_H
#define SHM_LOG_RING_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_LOG_RING_BYTES (256u << 10)

struct shm_log_ring {
    _Alignas(64) _Atomic uint64_t put;   /* event thread */
    _Alignas(64) _Atomic uint64_t taken; /* writer */
    _Alignas(64) char data[SHM_LOG_RING_BYTES];
};

/* Puts a line in; *ret_held is how much the ring holds then. False: there is no room for it. Event thread. */
bool shm_log_ring_put(struct shm_log_ring *ring, const char *line, size_t length, size_t *ret_held);
/* Copies the oldest whole lines, at most `capacity` bytes of them; how many bytes that are. Writer. */
size_t shm_log_ring_peek(struct shm_log_ring *ring, char *to, size_t capacity);
/* So many bytes are written. Writer. */
void shm_log_ring_take(struct shm_log_ring *ring, size_t length);

#endif
