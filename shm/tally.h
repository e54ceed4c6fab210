/* Tallies: what the workers have answered, how long it took, and where the time went.
 *
 * A tally per worker slot, and only the event thread of the worker in that slot writes it, by plain loads and
 * stores of relaxed words: no two processors ever want the same cache line, and nothing is locked. Readers
 * add up all slots that have ever had a worker, so sums only grow: the master does not reset a tally when its
 * worker dies, and the next worker in the slot counts on. What a crash may lose is the answer that was being
 * counted.
 *
 * Times are kept in buckets, four to an octave of microseconds. Each bucket exists twice: since the start
 * (for /metrics), and in windows of SHM_TALLY_WINDOW_S, of which the last SHM_TALLY_WINDOWS - 1 whole ones
 * and the current one are "lately" (for /status). A new window is cleared by who writes it first.
 *
 * The few words under "master" are written by the master alone; `log_dropped` also by the thread that writes
 * the access log, so that one is added to atomically. */
#ifndef SHM_TALLY_H
#define SHM_TALLY_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

/* What was asked for. */
enum shm_tally_class {
    SHM_TALLY_OTHER,     /* nothing that was understood */
    SHM_TALLY_TILE,      /* a whole tile of a level's grid */
    SHM_TALLY_EDGE_TILE, /* one that the picture's edge cuts off */
    SHM_TALLY_THUMBNAIL, /* the whole picture, at most SHM_TALLY_THUMBNAIL_PX wide and high */
    SHM_TALLY_FULL,      /* the whole picture, larger */
    SHM_TALLY_REGION,    /* any other part */
    SHM_TALLY_INFO,      /* info.json and what says the same in other protocols */
    SHM_TALLY_DOCUMENT,  /* manifests, collections, activity */
    SHM_TALLY_PAGE,      /* gallery and viewer, robots.txt */
    SHM_TALLY_COMMAND,   /* the admin side */
    SHM_TALLY_CLASSES
};
#define SHM_TALLY_THUMBNAIL_PX 512u

enum shm_tally_protocol {
    SHM_TALLY_NO_PROTOCOL,
    SHM_TALLY_IIIF_3,
    SHM_TALLY_IIIF_2,
    SHM_TALLY_DEEPZOOM,
    SHM_TALLY_ZOOMIFY,
    SHM_TALLY_PRESENTATION,
    SHM_TALLY_WEB,
    SHM_TALLY_ADMIN,
    SHM_TALLY_PROTOCOLS
};

/* Where a request's time goes. Decode, resample and encode are CPU time, the rest is by the clock. */
enum shm_tally_stage {
    SHM_TALLY_QUEUE,    /* waiting for a render thread */
    SHM_TALLY_FETCH,    /* waiting for parts of the source from afar */
    SHM_TALLY_DECODE,   /* opening and decoding */
    SHM_TALLY_RESAMPLE, /* and colour, turning */
    SHM_TALLY_ENCODE,   /* or joining stored tiles */
    SHM_TALLY_WAIT, /* all other time until the answer began: for somebody else's render, a slow disc, the scheduler */
    SHM_TALLY_SEND, /* from there until the kernel had the last byte */
    SHM_TALLY_STAGES
};

#define SHM_TALLY_STATUSES 25u
#define SHM_TALLY_BUCKETS  92u
#define SHM_TALLY_WINDOW_S 10
#define SHM_TALLY_WINDOWS  7u
#define SHM_TALLY_ROWS     (SHM_TALLY_CLASSES + SHM_TALLY_STAGES) /* of times: classes, then stages */

struct shm_tally_times {
    _Atomic uint64_t sum_us;
    _Atomic uint64_t count[SHM_TALLY_BUCKETS]; /* [i]: longer than bound(i - 1), at most bound(i) */
};

struct shm_tally_window {
    _Atomic int64_t number; /* monotonic time in windows; 0: never used */
    _Atomic uint32_t count[SHM_TALLY_ROWS][SHM_TALLY_BUCKETS];
};

struct shm_tally {
    _Alignas(64) _Atomic uint64_t sent_bytes; /* bodies */
    _Atomic uint64_t read_bytes;              /* of sources */
    _Atomic uint64_t log_dropped;             /* lines of the access log */
    _Atomic uint64_t slow;                    /* requests above slow_request_ms */
    /* master */
    _Alignas(64) _Atomic int64_t started_ms; /* monotonic, of the worker that has the slot */
    _Atomic uint64_t memory_bytes;           /* resident and not shared */
    _Atomic uint64_t crashes;                /* of workers in this slot */
    _Alignas(64) _Atomic uint64_t requests[SHM_TALLY_CLASSES][SHM_TALLY_PROTOCOLS][SHM_TALLY_STATUSES];
    struct shm_tally_times times[SHM_TALLY_ROWS];
    struct shm_tally_window window[SHM_TALLY_WINDOWS];
};
static_assert(sizeof(struct shm_tally) % 64 == 0, "tallies share no cache line");

/* ---- the event thread of the slot's worker ---- */

/* One more answer. */
void shm_tally_request(struct shm_tally *tally, enum shm_tally_class class, enum shm_tally_protocol protocol,
                       unsigned status);
/* One more time of a class, or of a stage (SHM_TALLY_CLASSES + stage). */
void shm_tally_time(struct shm_tally *tally, unsigned row, uint64_t us, int64_t now_ms);
void shm_tally_add(_Atomic uint64_t *word, uint64_t more);

/* ---- readers ---- */

/* All slots together. Large: not for the stack of a render thread. */
struct shm_tally_sum {
    uint64_t sent_bytes, read_bytes, log_dropped, slow;
    uint64_t requests[SHM_TALLY_CLASSES][SHM_TALLY_PROTOCOLS][SHM_TALLY_STATUSES];
    uint64_t sum_us[SHM_TALLY_ROWS], count[SHM_TALLY_ROWS][SHM_TALLY_BUCKETS];
    uint64_t lately[SHM_TALLY_ROWS][SHM_TALLY_BUCKETS];
};

void shm_tally_sum_add(struct shm_tally_sum *sum, const struct shm_tally *tally, int64_t now_ms);

/* The longest time that bucket `i` counts, in microseconds; the last bucket has no bound. */
uint64_t shm_tally_bound_us(unsigned i);
/* The bound below which a `part` (0 to 1) of the counted times lie, between the bucket's bounds by
 * proportion; 0: none were. */
double shm_tally_quantile_us(const uint64_t count[SHM_TALLY_BUCKETS], double part);
/* For how long windows reach back, at most `age_ms`. */
double shm_tally_lately_s(int64_t now_ms, int64_t age_ms);

/* 200 for the place of 200; 0: any other status. */
unsigned shm_tally_status(unsigned place);
const char *shm_tally_class_name(unsigned class);
const char *shm_tally_protocol_name(unsigned protocol);
const char *shm_tally_stage_name(unsigned stage);

#endif
