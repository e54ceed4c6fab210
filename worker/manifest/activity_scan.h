/* A look at everything below the image root: which manifests and collections came, changed or went since the
 * log of changes was written last. Folders are listed, no picture is opened.
 *
 * What counts as a change of a document: of its picture, its sidecar, its row in the catalogue; of a folder
 * also: which pages and folders are in it, and the picture that stands for each. Files that were written
 * within the last two seconds, or since the look began, wait for the next, since they may be written still.
 * When something cannot be listed, nothing is taken for gone; nor when the root is empty, which a file system
 * that is not mounted is.
 *
 * On the scanner's thread (activity.h). Memory: a bit for each record of the log, and the changes. */
#ifndef WORKER_MANIFEST_ACTIVITY_SCAN_H
#define WORKER_MANIFEST_ACTIVITY_SCAN_H

#include "cache/origin.h"
#include "worker/manifest/activity_log.h"
#include "worker/manifest/catalogue.h"

struct activity_scan_source {
    struct origin *origin;
    const struct list_map *catalogue; /* or NULL */
    /* Whether the document of a path is to be had under the path's own name: identifier rules and retired
     * identifiers may say no. */
    bool (*is_public)(void *context, const char *path);
    bool (*stops)(void *context);
    /* Called between files, for a pause. */
    void (*pause)(void *context);
    void *context;
};

struct activity_scan_result {
    size_t change_count;
    bool is_whole;     /* everything could be seen */
    int64_t waited_ms; /* for an origin that is elsewhere, or may hang */
};

/* Looks, and appends what has changed. RC_CANCELLED: it was stopped. Codes of activity_log_append(); a root
 * that cannot be listed (RC_UNSUPPORTED) is told as such. */
RC_MUST_USE enum rc activity_scan(const struct activity_scan_source *source, struct activity_log *log,
                                  struct activity_scan_result *ret_result, struct err *err);

#endif
