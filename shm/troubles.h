/* Troubles: the last errors and warnings of all processes of this server, for /status.
 *
 * A ring. Whoever has something to say takes the next number and writes the entry of that number over what
 * was there; an entry carries its number and a checksum over all of itself, so one that is half written, or
 * was written by two at a time, is no entry. No locks, nothing to repair. Any thread of any process; the
 * master only writes. */
#ifndef SHM_TROUBLES_H
#define SHM_TROUBLES_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHM_TROUBLES_ENTRIES    64u
#define SHM_TROUBLES_WORDS      64u
#define SHM_TROUBLES_ID_BYTES   72u
#define SHM_TROUBLES_TEXT_BYTES (SHM_TROUBLES_WORDS * 8 - 32 - SHM_TROUBLES_ID_BYTES)

struct shm_troubles {
    _Alignas(64) _Atomic uint64_t next; /* numbers count from 1 */
    _Alignas(64) _Atomic uint64_t entry[SHM_TROUBLES_ENTRIES][SHM_TROUBLES_WORDS];
};

/* An entry as a person sees it. */
struct shm_trouble {
    uint64_t checksum; /* of what follows */
    uint64_t number;
    int64_t time_ms; /* since 1970 */
    int32_t pid;
    uint32_t level;                     /* enum log_level */
    char id[SHM_TROUBLES_ID_BYTES];     /* of the request; empty: of none */
    char text[SHM_TROUBLES_TEXT_BYTES]; /* its beginning, terminated */
};
static_assert(sizeof(struct shm_trouble) == SHM_TROUBLES_WORDS * 8, "a trouble fills its words");

void shm_troubles_add(struct shm_troubles *troubles, uint32_t level, const char *id, const char *text);
/* How many there have been. */
uint64_t shm_troubles_count(const struct shm_troubles *troubles);
/* The one with that number; false when it is gone, or being written. */
bool shm_troubles_get(const struct shm_troubles *troubles, uint64_t number, struct shm_trouble *ret_trouble);

#endif
