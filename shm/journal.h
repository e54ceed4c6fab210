/* The journal: for each client connection what another worker needs to go on with it when its worker dies.
 *
 * A connection is two streams of bytes. The kernel knows how far each has come (bytes taken out of the socket, bytes handed
 * to it); the journal knows the rest: the bytes of the request that is being answered, as they came, and where in the
 * outgoing stream its answer begins. Answers are pure functions of request and source version, so whoever reads the same
 * bytes makes the same answer, leaves out what was handed over already, and goes on at the very byte.
 *
 *     received  ───────────────┬──request being answered──┬──read ahead──┐         unread, in the kernel
 *                        request_start                              taken out (kernel)
 *     sent      ───────────────┬───────answer─────┐
 *                        answer_start        handed over (kernel)
 *
 * Who writes what: only the worker that serves the connection, and of it only the event thread. Received bytes are
 * written into `request` by the kernel itself, in the call that takes them out of the socket: there is no moment at which
 * they are in neither place. The two positions move together by writing the other of two marks and then flipping
 * `current`, so a worker killed between any two instructions leaves one whole mark. The master only makes the journal and
 * counts `strikes`; it reads nothing here.
 *
 * The table is indexed by the place part of a connection's id and lives as long as the server. Untouched slots cost no memory. */
#ifndef SHM_JOURNAL_H
#define SHM_JOURNAL_H

#include "base/err.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Another layout or meaning is another version: no upgrade without a restart. */
#define SHM_JOURNAL_VERSION       3u
#define SHM_JOURNAL_SLOT_BYTES    16384u
#define SHM_JOURNAL_REQUEST_BYTES (SHM_JOURNAL_SLOT_BYTES - 256u)

/* Whether the answer's header says how long it is. */
enum shm_journal_framing { SHM_JOURNAL_UNFRAMED, SHM_JOURNAL_SIZED, SHM_JOURNAL_STREAMED };

/* Where the streams stand at a request's beginning, and what was decided about its answer. */
struct shm_journal_mark {
    uint64_t request_start; /* offset of its first byte in the received stream */
    uint64_t answer_start;  /* offset in the sent stream where its answer begins */
    uint64_t base;          /* offset of request[0] in the received stream; not above request_start */
    /* What an answer carries that is not in the request. Nothing is sent before all of it stands here. */
    _Atomic int64_t date_s;       /* its Date; 0: not decided */
    _Atomic uint64_t fingerprint; /* of its shape, see worker/http/exchange.c; 0: not made yet */
    _Atomic uint32_t closes;      /* it says Connection: close because the server leaves */
    _Atomic uint32_t framing;     /* enum shm_journal_framing */
};

struct shm_journal_slot {
    _Atomic uint64_t connection_id; /* whose this is; 0: nobody's yet */
    _Atomic uint32_t current;       /* which mark holds */
    _Atomic uint32_t strikes;       /* how often the current request has killed a worker by its own fault */
    /* Bytes from here on are in `request`; moves up when a request was too long to be kept. */
    _Atomic uint64_t kept_from;
    struct shm_journal_mark mark[2];
    _Atomic uint32_t strike_signal; /* of the last strike; SIGKILL: it hung */
    uint64_t seed;                  /* of the connection's request ids: when its first worker got it, in ns */
    char reserved[256 - 40 - 2 * sizeof(struct shm_journal_mark)];
    uint8_t request[SHM_JOURNAL_REQUEST_BYTES];
};
static_assert(sizeof(struct shm_journal_slot) == SHM_JOURNAL_SLOT_BYTES, "a slot is four pages");
static_assert(offsetof(struct shm_journal_slot, request) == 256, "the request shares its slot's first page");

struct shm_journal; /* the mapped table */

/* A mapping of `slots` zeroed slots, backed by a memfd that a new program can inherit. */
RC_MUST_USE enum rc shm_journal_make(uint32_t slots, struct shm_journal **ret_journal, struct err *err);
/* Maps a journal that another program made; takes over `fd`. RC_CORRUPT when its size is not that of `slots` slots. */
RC_MUST_USE enum rc shm_journal_inherit(int fd, uint32_t slots, struct shm_journal **ret_journal,
                                        struct err *err);
int shm_journal_fd(const struct shm_journal *journal);
void shm_journal_free(struct shm_journal **journal);

/* The slot of a connection; NULL when the id's place is beyond the table. */
struct shm_journal_slot *shm_journal_slot(struct shm_journal *journal, uint64_t connection_id);

/* A connection's first worker: both streams stand at 0. */
void shm_journal_begin(struct shm_journal_slot *slot, uint64_t connection_id);
/* The connection has been shut down: its worker's last word in the slot. Whoever begins the slot anew sees all that was written
 * before, though the order came about through the master's messages. */
void shm_journal_end(struct shm_journal_slot *slot);
/* Whether the slot was begun for this connection: then its worker has died, else it never had one. */
bool shm_journal_is_begun(const struct shm_journal_slot *slot, uint64_t connection_id);

/* The mark that holds. */
struct shm_journal_mark *shm_journal_mark(struct shm_journal_slot *slot);
/* The current request is answered completely: the streams stand at these offsets now; `taken` is the end of the bytes taken out
 * of the socket, so that a buffer with nothing read ahead begins at its start again. Strikes are forgotten. */
void shm_journal_advance(struct shm_journal_slot *slot, uint64_t request_start, uint64_t answer_start,
                         uint64_t taken);

/* Where the next received bytes (at offset `taken`) are to be put, and how many fit; 0: the request is too long to be
 * kept, and nothing before `taken` + what comes now can be made again. */
size_t shm_journal_room(struct shm_journal_slot *slot, uint64_t taken, uint8_t **ret_to);
/* Bytes up to `taken` were received past the journal. */
void shm_journal_lost(struct shm_journal_slot *slot, uint64_t taken);
/* The bytes [request_start, taken) as they came. False when they were not kept, or `taken` lies before them. */
bool shm_journal_request(struct shm_journal_slot *slot, uint64_t taken, const uint8_t **ret_bytes,
                         size_t *ret_length);

#endif
