/* Cached derivatives: rendered answers, in memory (small ones, shm/blobs.h) and in files of the cache directory.
 *
 * A derivative is found by a hash of everything that its bytes depend on and checks itself when it is read
 * (cache/derivative_entry.h); one that is not what it should be is removed and counts as missing. Files are written under
 * a temporary name and renamed: they are whole or not there. Which have to go when there is no more room is decided by what
 * is known of them in shared memory (shm/catalogue.h), which is a hint: the files are the truth. What has been purged is
 * not found any more (shm/fences.h).
 *
 * One per worker, after fork; any thread. A crash leaves at most a file with a temporary name, which the janitor
 * (cache/janitor.h) removes. Nothing here logs. */
#ifndef CACHE_DERIVATIVES_H
#define CACHE_DERIVATIVES_H

#include "base/arena.h"
#include "base/bytes.h"
#include "cache/derivative_entry.h"
#include "cache/derivative_folders.h"
#include "shm/derivatives.h"

/* Up to here a derivative is read into memory and compared with its checksum each time; above it goes from its file into
 * the socket, and is compared now and then. */
#define DERIVATIVES_READ_BYTES 65536u

struct derivatives_limits {
    uint64_t most_bytes; /* of files; 0: no files */
    uint64_t most_files;
    int64_t most_age_s; /* 0: any */
};

struct derivatives {
    struct shm_derivatives *shared;
    int folder; /* O_PATH; -1: none */
    struct derivative_folders folders;
    struct derivatives_limits limits;
    uint64_t boot;   /* of the system */
    uint64_t server; /* in temporary names, and for the janitor's lock: whose */
    uint32_t slot;
    uint64_t generation;
    _Atomic uint64_t chance, kept;
    _Atomic uint64_t purges_seen; /* hash of what the list of purges looked like when it was read last */
};

/* A derivative that was found: in memory (`bytes`, from `offset` on) or in a file. */
struct derivative {
    struct bytes bytes; /* without capacity: in the asker's arena */
    int fd;             /* -1: in memory */
    uint64_t offset, length;
};

/* The folder stays the caller's. Reads which system this is: before the box. */
void derivatives_init(struct derivatives *derivatives, struct shm_derivatives *shared,
                      const struct derivatives_limits *limits);
/* Where nobody uses them any more. */
void derivatives_done(struct derivatives *derivatives);

enum derivatives_look {
    DERIVATIVES_QUICK,    /* event thread: memory, or a file that is read at once */
    DERIVATIVES_THOROUGH, /* reads and compares whatever is due */
    DERIVATIVES_AGAIN,    /* thorough, and not counted as asked for: a second look */
};
enum derivatives_found {
    DERIVATIVES_MISS,
    DERIVATIVES_HIT,
    DERIVATIVES_LATER, /* there is one that has to be looked at thoroughly; only when QUICK */
};
/* What a small file says is read into the arena: malloc() is slow with blocks of that size, and each look-up needs one. */
enum derivatives_found derivatives_find(struct derivatives *derivatives, const struct derivative_key *key,
                                        enum derivatives_look look, struct arena *arena,
                                        struct derivative *ret_derivative);

/* Keeps a copy in memory. False: it is too large, or there is no memory. `epoch` is that in which its making began. */
bool derivatives_keep(struct derivatives *derivatives, const struct derivative_key *key, uint64_t epoch,
                      const void *body, size_t length);

/* A file that is being written. */
struct derivative_file {
    struct derivatives *derivatives;
    int fd; /* -1: none */
    struct shm_key hash;
    uint64_t body_bytes;
    struct derivative_sum *sum;
    char name[DERIVATIVE_NAME_BYTES + 32]; /* the temporary one */
};
#define DERIVATIVE_FILE_NONE ((struct derivative_file){.fd = -1})

/* RC_UNSUPPORTED: there are no files, or none are written for a while. RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc derivative_file_begin(struct derivatives *derivatives, const struct derivative_key *key,
                                          struct derivative_file *ret_file, struct err *err);
RC_MUST_USE enum rc derivative_file_add(struct derivative_file *file, const struct derivative_key *key,
                                        const void *data, size_t length, struct err *err);
/* Gives it its name: it is found from now on. Others make room for it. RC_UNSUPPORTED: it is larger than all there is. */
RC_MUST_USE enum rc derivative_file_end(struct derivative_file *file, const struct derivative_key *key,
                                        uint64_t epoch, struct err *err);
/* Removes what was not ended. */
void derivative_file_done(struct derivative_file *file);

/* Removes those that are worth least until there is room for so much more. Returns how many. */
uint64_t derivatives_evict(struct derivatives *derivatives, uint64_t more_bytes, uint64_t more_files);
/* Whether an entry was purged, or is too old. */
bool derivatives_is_dead(const struct derivatives *derivatives, uint64_t epoch, int64_t made_s, uint32_t mark,
                         const char *path);
/* Whether what was begun in `epoch` has been purged since. */
bool derivatives_is_purged(const struct derivatives *derivatives, const struct derivative_key *key,
                           uint64_t epoch);
/* Removes one, from files and memory. */
void derivatives_remove(struct derivatives *derivatives, struct shm_key hash);

#endif
