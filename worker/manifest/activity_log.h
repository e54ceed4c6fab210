/* The log of changes: which manifests and collections came, changed and went, in order; for IIIF Change
 * Discovery 1.0 at /activity.
 *
 * One LMDB file in the cache directory for each image root, with two tables:
 *
 *     log     number, from 1            → when, what happened, to which path
 *     known   path, manifest or not     → its state, and the number of the latest record about it
 *
 * A change is appended and becomes known in one transaction, synced to the disc: after a crash or a restart
 * the next look at the sources (activity_scan.h) finds it in neither table or in both, so nothing is told
 * twice and nothing is lost. Records never change and pages are ACTIVITY_PAGE numbers each, so a full page
 * stays as it is.
 *
 * It is bounded: above `most_records` (but never below twice what is known) the oldest page goes; what it
 * said about things that are still there is said again, as an update, at the end. So whoever reads all of the
 * log always learns of everything that is there.
 *
 * One process writes, the one whose scanner is at work; each worker reads, any thread, without a lock that
 * another process could hold for long. Not the index (shm/pyramid_index.h), which may be thrown away on
 * doubt: a file that cannot be read is begun anew, and tells everything that is there as created. */
#ifndef WORKER_MANIFEST_ACTIVITY_LOG_H
#define WORKER_MANIFEST_ACTIVITY_LOG_H

#include "base/arena.h"
#include "base/bytes.h"

#include <stdbool.h>

#define ACTIVITY_PAGE 500u

enum activity_type { ACTIVITY_CREATE, ACTIVITY_UPDATE, ACTIVITY_DELETE };

/* What has a document: the folder or picture at `path` ("" the root). A folder that becomes a collection is
 * another subject. */
struct activity_subject {
    const char *path;
    bool is_collection;
};

struct activity_record {
    uint64_t number;
    int64_t at_s; /* since 1970; never earlier than the record's before it */
    enum activity_type type;
    struct activity_subject subject;
};

struct activity_change {
    enum activity_type type;
    struct activity_subject subject;
    uint64_t state; /* of what it is made of; without meaning for ACTIVITY_DELETE */
    int64_t at_s;
};

struct activity_log;

/* `path` of the file; made where it is missing, begun anew where it is no log. RC_IO. */
RC_MUST_USE enum rc activity_log_open(const char *path, uint64_t most_records, struct activity_log **ret_log,
                                      struct err *err);
void activity_log_close(struct activity_log **log);

/* Appends changes and makes them known, in transactions of many. Dates that are earlier than the last
 * record's become that. RC_IO, RC_TOO_LARGE: the first changes may have been written. */
RC_MUST_USE enum rc activity_log_append(struct activity_log *log, const struct activity_change *change,
                                        size_t count, struct err *err);
/* Drops the oldest pages while there is too much. RC_IO. */
RC_MUST_USE enum rc activity_log_trim(struct activity_log *log, int64_t now_s, struct err *err);

/* ---- reading ---- */

/* The log as it is at one moment; short-lived, since it keeps old pages of the file from being used again. */
struct activity_view;

RC_MUST_USE enum rc activity_view_open(const struct activity_log *log, struct activity_view **ret_view,
                                       struct err *err);
void activity_view_close(struct activity_view **view);

/* Numbers of the first and the last record; false: there are none. */
bool activity_view_span(const struct activity_view *view, uint64_t *ret_first, uint64_t *ret_last);
/* The record of that number, its path in the arena. RC_NOT_FOUND, RC_NO_MEMORY. */
RC_MUST_USE enum rc activity_view_record(const struct activity_view *view, uint64_t number,
                                         struct arena *arena, struct activity_record *ret_record,
                                         struct err *err);
/* State and latest record of what is known. False: it is not. */
bool activity_view_known(const struct activity_view *view, const struct activity_subject *subject,
                         uint64_t *ret_state, uint64_t *ret_number);
/* Calls `each` for everything known; it returns false to stop. */
void activity_view_each(const struct activity_view *view,
                        bool (*each)(void *context, const struct activity_subject *subject, uint64_t number),
                        void *context);

#endif
