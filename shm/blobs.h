/* Blobs: small cached things in shared memory, whole, found by their key.
 *
 * What they hold is the caller's business, and so is finding out that it is what it should be: a blob is a hint like
 * everything here. Memory comes in chunks of a KiB that hang together in chains; what is worth least by the sketch makes
 * room. Readers take no lock: they copy, and look whether the entry was left alone meanwhile (a sequence number, odd while it
 * changes). Writers take one of a few stripes, each with memory of its own; a worker that dies with one leaves it to be
 * emptied. Any thread of any worker; the event thread never waits for a stripe. */
#ifndef SHM_BLOBS_H
#define SHM_BLOBS_H

#include "base/bytes.h"
#include "shm/sketch.h"
#include "shm/stripe.h"

#include <assert.h>
#include <stdbool.h>

#define SHM_BLOBS_STRIPES     8u
#define SHM_BLOBS_CHUNK_BYTES 1024u

struct shm_blobs; /* a header and the stripes behind it */

/* For so much content; 0: for none, and everything misses. */
size_t shm_blobs_bytes(uint64_t content_bytes);
/* In zeroed memory; master, before it forks. */
void shm_blobs_init(struct shm_blobs *blobs, uint64_t content_bytes);

/* The largest blob that is taken. */
uint64_t shm_blobs_most_bytes(const struct shm_blobs *blobs);
/* Roughly what is in. */
uint64_t shm_blobs_used_bytes(const struct shm_blobs *blobs);
uint64_t shm_blobs_count(const struct shm_blobs *blobs);

struct shm_blob_part {
    const void *data;
    size_t length;
};

enum shm_blobs_admit {
    SHM_BLOBS_ALWAYS,
    SHM_BLOBS_IF_WORTH, /* only in place of what is worth less, and if nobody else is at it: the event thread may */
};

/* Puts in the parts, one behind the other, in place of what the key had before. False: not now, or too large. */
bool shm_blobs_put(struct shm_blobs *blobs, const struct shm_sketch *sketch, struct shm_key key,
                   const struct shm_blob_part *part, size_t parts, enum shm_blobs_admit admit);
/* It will be looked for in a moment: brings near what is looked at first. */
void shm_blobs_expect(const struct shm_blobs *blobs, struct shm_key key);
/* Appends a copy to `out`. False: it is not there (or memory is out). */
bool shm_blobs_get(struct shm_blobs *blobs, struct shm_key key, uint32_t clock, struct bytes *out);
/* The key of every blob in turn: *cursor begins at 0. False: that was all. */
bool shm_blobs_next(struct shm_blobs *blobs, uint64_t *cursor, struct shm_key *ret_key);
/* Takes it out, if it is in. */
void shm_blobs_remove(struct shm_blobs *blobs, struct shm_key key);

#endif
