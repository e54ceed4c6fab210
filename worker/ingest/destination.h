/* Where the pyramids of a batch go: a folder or a bucket, and what can be wrong with it.
 *
 * Owned by the process of the batch, which makes folders below it; files are written by converters. */
#ifndef WORKER_INGEST_DESTINATION_H
#define WORKER_INGEST_DESTINATION_H

#include "worker/ingest/sources.h"

struct ingest_destination {
    const char *path;
    bool is_remote;      /* s3://BUCKET/PREFIX */
    const char *scratch; /* what is bound for a bucket lies here meanwhile */
    dev_t device;        /* the folder as it was at the beginning; inode 0: it is not there yet (dry run) */
    ino_t inode;
    struct ingest_file_id {
        dev_t device;
        ino_t inode;
    } * master; /* sorted */
    size_t master_count;
    const char **remote_master; /* sorted */
    size_t remote_master_count;
    char *folder; /* the last one below it that was made or found */
};

/* Makes the folder and those above it where they are missing, unless `is_dry_run`. RC_IO. */
RC_MUST_USE enum rc ingest_destination_open(struct ingest_destination *destination, const char *path,
                                            bool is_dry_run, struct err *err);
void ingest_destination_close(struct ingest_destination *destination);
/* No pyramid shall replace one of these. */
RC_MUST_USE enum rc ingest_destination_guard(struct ingest_destination *destination,
                                             const struct ingest_sources *sources, struct err *err);

/* The path of a pyramid, for the caller to free. */
RC_MUST_USE enum rc ingest_destination_path(const struct ingest_destination *destination, const char *name,
                                            char **ret_path, struct err *err);
/* RC_BAD_REQUEST: what is there now is a master, or no file. */
RC_MUST_USE enum rc ingest_destination_check(const struct ingest_destination *destination, const char *path,
                                             struct err *err);
/* Makes the folders that `name` has in it, and removes from the last what runs have left there that were
 * killed. */
RC_MUST_USE enum rc ingest_destination_make_folder(struct ingest_destination *destination, const char *name,
                                                   struct err *err);

/* After a failure: whether no other pyramid can be written either, so that going on makes no sense; the
 * sentence says why. */
bool ingest_destination_is_lost(const struct ingest_destination *destination, int os_errno, struct err *err);

#endif
