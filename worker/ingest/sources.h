/* From what somebody names on a command line to the list of master files.
 *
 * Files, folders (with all below them), patterns, lists. Every file gets the name that it has below what was
 * named: `masters/` with masters/maps/a.tif in it gives maps/a.tif; rules and destinations are made of that
 * name. Called once at the beginning of a batch, by the process that owns it, before any converter exists.
 * The list owns all its names. */
#ifndef WORKER_INGEST_SOURCES_H
#define WORKER_INGEST_SOURCES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ingest_source {
    const char *path;     /* as it is opened */
    const char *relative; /* its name below what was asked for; no "/" at the beginning, no ".." in it */
    uint64_t size_bytes;
    const char *version; /* its ETag, where it lies in a bucket; NULL: it is a file */
    dev_t device;        /* the same file by another name has the same two */
    ino_t inode;
};

struct ingest_sources {
    struct arena *arena;
    struct ingest_source *item;
    size_t count, capacity;
    size_t passed_over; /* files in folders that are no pictures */
    /* A folder that is not entered: the destination, whose pyramids are no masters. Inode 0: none. */
    dev_t avoid_device;
    ino_t avoid_inode;
    const char *avoid_prefix;        /* the same in a bucket; NULL: none */
    const struct settings *settings; /* for buckets */
    const char *base;                /* what lies below this folder is named from there; NULL: none given */
    /* Called for each name that leads to no file: `sentence` says why. */
    void (*complain)(void *context, const char *name, const char *sentence);
    void *context;
};

/* Sets up an empty list; the fields from avoid_device on are the caller's to fill in. */
RC_MUST_USE enum rc ingest_sources_init(struct ingest_sources *sources, struct err *err);
void ingest_sources_done(struct ingest_sources *sources);

/* One argument: a file, a folder, a pattern with * ? [ ] where no file has that very name, or
 * s3://BUCKET/PREFIX: an object, or all pictures (by name) below it. In folders, hidden names and files that
 * are no pictures (by name or by their first bytes) are passed over. What cannot be found is complained
 * about; RC_NO_MEMORY is the only failure. */
RC_MUST_USE enum rc ingest_sources_add(struct ingest_sources *sources, const char *argument, struct err *err);

/* The names in the file at `path` ("-": standard input), each a file or folder as it stands there, no
 * pattern; files keep the folders in their names. A NUL anywhere in the list makes NUL what ends a name,
 * otherwise the line's end does. RC_IO: the list cannot be read. */
RC_MUST_USE enum rc ingest_sources_add_list(struct ingest_sources *sources, const char *path,
                                            struct err *err);

#endif
