/* Flights: what is on its way from an origin. For cache/remote*.c only: remote.c says when. */
#ifndef CACHE_REMOTE_FLIGHT_H
#define CACHE_REMOTE_FLIGHT_H

#include "cache/remote_known.h"

struct remote_flight {
    struct transport_fetch fetch; /* first */
    struct remote_flight *next, *start_next;
    struct remote_file *file;
    struct remote_content *asked; /* what was known when it set out, or NULL */
    struct remote_content
        *content; /* of which this is a part; for a look: `asked` until another version is found */
    uint64_t number;
    bool elsewhere; /* another worker fetches it: nothing was submitted */
    struct remote_flight *watch_next;
    int64_t claimed_ms;
    uint64_t first_block, block_count; /* marked as flying; not for a look */
    uint64_t at;                       /* of the next byte that comes */
    bool replaced;                     /* it is of another version now */
    bool unchanged;                    /* it is what `asked` is */
    bool waits_for_first;              /* which version it is of, `bare` says with the first block */
    struct transport_answer bare;
    uint8_t *block;                    /* being put together */
};

/* Bits of a content's tables of blocks, `wanted` and `flying`. */
static inline bool remote_bit(const uint8_t *bits, uint64_t block)
{
    return (bits[block / 8] >> block % 8 & 1) != 0;
}

static inline void remote_set_bit(uint8_t *bits, uint64_t block, bool on)
{
    uint8_t mask = (uint8_t)(1u << block % 8);
    bits[block / 8] = (uint8_t)(on ? bits[block / 8] | mask : bits[block / 8] & ~mask);
}

/* These under the lock: what they make hangs in file->flights and, by start_next, in *flights for the caller to submit. */
/* Asks whether the file is what it was, or what it is; nothing if that is on its way. RC_NO_MEMORY. */
RC_MUST_USE enum rc remote_flight_look(struct remote_file *file, struct remote_flight **flights,
                                       struct err *err);
/* A part of the file; `first`: a look. `ours` false: another worker fetches it, and it is waited for. RC_NO_MEMORY. */
RC_MUST_USE enum rc remote_flight_new(struct remote_file *file, uint64_t offset, uint64_t length, bool first,
                                      bool ours, struct remote_flight **flights,
                                      struct remote_flight **ret_flight, struct err *err);

/* It has come, or failed with `rc`: whoever waits is told, and the flight is gone. */
void remote_flight_land(struct remote_flight *flight, enum rc rc, const struct err *err);

#endif
