/* The quarantine: source versions that have killed workers by faults of their own, for a while not to be
 * opened.
 *
 * A fixed table; each entry carries a checksum over all of itself and is written by plain stores. An entry
 * whose checksum does not hold (half written by a worker that died, or by two at a time) is no entry, so
 * there are no locks and nothing to repair; what is lost costs two more crashes. Any thread of any worker.
 * The master does not touch it. Full: the entry that would end first makes room, among those in the same
 * part of the table. */
#ifndef SHM_QUARANTINE_H
#define SHM_QUARANTINE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_QUARANTINE_ENTRIES    256u
#define SHM_QUARANTINE_WORDS      64u
#define SHM_QUARANTINE_PATH_BYTES (SHM_QUARANTINE_WORDS * 8 - 40)

struct shm_quarantine {
    /* No entry ends later: nothing to look for afterwards. */
    _Alignas(64) _Atomic int64_t last_until_ms;
    _Alignas(64) _Atomic uint64_t entry[SHM_QUARANTINE_ENTRIES][SHM_QUARANTINE_WORDS];
};

/* An entry as a person sees it. */
struct shm_quarantine_case {
    uint64_t checksum; /* of what follows */
    uint64_t key;      /* of path, page and version; never 0 */
    int64_t until_ms;  /* monotonic */
    uint32_t page;
    uint32_t fault_signal; /* of the last crash; SIGKILL: it hung */
    uint32_t strikes;
    uint32_t path_bytes;                  /* of the whole path */
    char path[SHM_QUARANTINE_PATH_BYTES]; /* its beginning, terminated */
};
static_assert(sizeof(struct shm_quarantine_case) == SHM_QUARANTINE_WORDS * 8, "a case fills its words");

/* Whether anything at all is in quarantine. */
bool shm_quarantine_is_used(const struct shm_quarantine *quarantine, int64_t now_ms);
/* How long this version of the page stays in quarantine; 0: it is not. */
int64_t shm_quarantine_left_ms(const struct shm_quarantine *quarantine, const char *path, uint32_t page,
                               uint64_t version_hash, int64_t now_ms);
/* Puts it in, or prolongs its stay. False when it was in already. */
bool shm_quarantine_add(struct shm_quarantine *quarantine, const char *path, uint32_t page,
                        uint64_t version_hash, uint32_t fault_signal, uint32_t strikes, int64_t now_ms,
                        int64_t duration_ms);
/* The entry at `index`, below SHM_QUARANTINE_ENTRIES; false when there is none. */
bool shm_quarantine_get(const struct shm_quarantine *quarantine, uint32_t index, int64_t now_ms,
                        struct shm_quarantine_case *ret_case);

#endif
