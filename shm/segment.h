/* The memory segment that all processes of one server share: made by the master before it forks, fixed in
 * size, offsets and no pointers, all of it a hint that may be lost.
 *
 * Beats, quarantine, leases, the index, sightings, tallies and troubles have their own rules (see their
 * headers). For the rest: Who writes what: the master writes the header and a slot's `state`, `pid` and
 * `generation`; the worker that holds a slot writes the rest of that slot; counters are added to by anyone.
 * All words are relaxed atomics: readers take no lock and may see values of slightly different moments. A
 * crash leaves the dead worker's slot as it was; the master resets it before the next worker is forked into
 * it. The master takes no lock here, follows no offset, and decides nothing by a value it finds here but
 * which of two workers looks less busy. */
#ifndef SHM_SEGMENT_H
#define SHM_SEGMENT_H

#include "base/err.h"
#include "shm/beat.h"
#include "shm/clients.h"
#include "shm/effort.h"
#include "shm/lease.h"
#include "shm/log_ring.h"
#include "shm/pyramid_index.h"
#include "shm/quarantine.h"
#include "shm/sightings.h"
#include "shm/tally.h"
#include "shm/troubles.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAX_WORKERS    256u
#define SHM_LAYOUT_VERSION 7u

enum shm_slot_state { SHM_SLOT_FREE, SHM_SLOT_STARTING, SHM_SLOT_SERVING, SHM_SLOT_DRAINING };

struct shm_slot {
    _Alignas(64) _Atomic uint32_t state; /* enum shm_slot_state */
    _Atomic int32_t pid;
    _Atomic uint64_t generation;  /* counts the workers this slot has had */
    _Atomic uint64_t connections; /* open now */
    _Atomic uint64_t requests;    /* answered by this worker */
    _Atomic uint64_t renders;     /* pictures rendered by this worker */
    _Atomic uint64_t queued;      /* render jobs waiting or running */
    _Atomic uint64_t beat_ms;     /* monotonic; the control thread's last sign of life */
};
static_assert(sizeof(struct shm_slot) == 64, "a slot is one cache line");

struct shm_counters {
    _Atomic uint64_t crashes; /* workers that ended by a signal or unasked */
    _Atomic uint64_t connections_accepted, connections_refused;
    _Atomic uint64_t connections_recovered; /* that a worker went on with after another had died */
    _Atomic uint64_t
        answers_recovered; /* answers among them that were begun, and are finished by another worker */
    _Atomic uint64_t master_bytes; /* memory of the master, resident and not shared */
    _Atomic uint64_t reserved[4];
    _Atomic uint64_t faults;      /* crashes of threads that worked on a request, hangs included */
    _Atomic uint64_t hangs;       /* workers killed because a render, or the whole worker, stood still */
    _Atomic uint64_t recycled;    /* workers replaced for their size or age */
    _Atomic uint64_t quarantined; /* source versions put into quarantine */
    _Atomic uint64_t quarantine_answers; /* 503 because of it */
    _Atomic uint64_t renders;            /* pictures rendered, also by workers that are no more */
};
static_assert(sizeof(struct shm_counters) == 128, "the counters are sixteen words");

struct shm_segment {
    char magic[8]; /* "VITRINE1" */
    uint32_t layout_version, slot_count;
    int64_t started_ms; /* monotonic */
    _Atomic uint32_t draining;
    _Atomic uint32_t box_noted; /* what the kernel lacks for worker/box.h stands in the log */
    _Alignas(64) struct shm_counters counters;
    _Alignas(64) struct shm_slot slot[SHM_MAX_WORKERS];
    struct shm_effort effort; /* memory and time of renders: shm/effort.h */
    struct shm_quarantine quarantine;
    struct shm_index_shared index;
    struct shm_sightings sightings;
    struct shm_leases leases; /* of derivatives */
    struct shm_leases
        fetches; /* of blocks of sources: so many at times that they have a table of their own */
    struct shm_troubles troubles;
    struct shm_clients clients;
    struct shm_tally tally[SHM_MAX_WORKERS];       /* by the worker in that slot, and whoever had it before */
    struct shm_log_ring log_ring[SHM_MAX_WORKERS]; /* likewise */
    struct shm_beats beats[SHM_MAX_WORKERS]; /* of the worker in that slot; untouched ones cost no memory */
};
static_assert(SHM_CLIENTS_SLOTS == SHM_MAX_WORKERS, "a table of clients for each worker");
static_assert(SHM_EFFORT_SLOTS == SHM_MAX_WORKERS, "a line of effort for each worker");
static_assert(offsetof(struct shm_segment, counters) == 64, "the header is one cache line");
static_assert(offsetof(struct shm_segment, slot) == 192, "the counters take two cache lines");

/* Maps a fresh segment (MAP_SHARED and anonymous: inherited through fork, gone with the last process).
 * `slot_count` is 1 to SHM_MAX_WORKERS. */
RC_MUST_USE enum rc shm_segment_make(uint32_t slot_count, struct shm_segment **ret_segment, struct err *err);
/* Unmaps it in this process and empties the variable. */
void shm_segment_free(struct shm_segment **segment);

/* Master, before it forks a worker into the slot: counts the generation and clears the rest. */
void shm_segment_reset_slot(struct shm_segment *segment, uint32_t slot, enum shm_slot_state state);

#endif
