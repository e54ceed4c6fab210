/* The catalogue of a server that runs: the map in use, and the making of another while requests are answered from the old one.
 *
 * Each worker has one, opened before it enters its box, when the CSV file can still be reached. Where the map in the cache directory was not
 * made of this state of the file, a thread makes it anew; one worker does, the others wait for it without holding anything up. So a changed
 * file is taken up by HUP, which starts new workers. One with wrong lines is logged, once, and the map before it stays. A crash lets
 * another worker make it. */
#ifndef WORKER_MANIFEST_CATALOGUE_LIVE_H
#define WORKER_MANIFEST_CATALOGUE_LIVE_H

#include "worker/manifest/catalogue.h"

struct manifest_catalogue_live;

struct manifest_catalogue_options {
    const char *file;    /* CSV; "": none */
    const char *columns; /* of the settings */
    const char *folder;  /* where the map is kept; lives as long as the catalogue */
};

/* Whether manifest_catalogue_live_open() will succeed, as far as that is quickly said. RC_BAD_REQUEST; *ret_name is the setting's. */
RC_MUST_USE enum rc manifest_catalogue_check(const struct manifest_catalogue_options *options,
                                             const char **ret_name, struct err *err);
/* For check-config: every wrong line as FILE:LINE: to standard error. False: there was one. */
bool manifest_catalogue_check_lines(const struct manifest_catalogue_options *options);

RC_MUST_USE enum rc manifest_catalogue_live_open(const struct manifest_catalogue_options *options,
                                                 struct manifest_catalogue_live **ret_live, struct err *err);
/* Starts the thread where there is something to load. After the box. */
RC_MUST_USE enum rc manifest_catalogue_live_start(struct manifest_catalogue_live *live, struct err *err);
void manifest_catalogue_live_close(struct manifest_catalogue_live **live);

/* The map in use, until the end; NULL: there is none (yet). Any thread. */
const struct manifest_catalogue *manifest_catalogue_now(const struct manifest_catalogue_live *live);

#endif
