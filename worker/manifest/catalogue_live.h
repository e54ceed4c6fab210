/* The catalogue of a server that runs: a list (cache/list_live.h) by the settings `catalogue` and
 * `catalogue_columns`. Called by each worker before it enters its box, and by whoever checks settings. */
#ifndef WORKER_MANIFEST_CATALOGUE_LIVE_H
#define WORKER_MANIFEST_CATALOGUE_LIVE_H

#include "cache/list_live.h"
#include "worker/manifest/catalogue.h"

struct manifest_catalogue_options {
    const char *file;    /* CSV; "": none */
    const char *columns; /* of the settings */
    const char *folder;  /* where the map is kept; lives as long as the catalogue */
};

/* Whether manifest_catalogue_live_open() will succeed, as far as that is quickly said. RC_BAD_REQUEST;
 * *ret_name is the setting's. */
RC_MUST_USE enum rc manifest_catalogue_check(const struct manifest_catalogue_options *options,
                                             const char **ret_name, struct err *err);
/* For check-config: every wrong line as FILE:LINE: to standard error. False: there was one. */
bool manifest_catalogue_check_lines(const struct manifest_catalogue_options *options);

/* *ret_live NULL: there is none. As list_live_open(). */
RC_MUST_USE enum rc manifest_catalogue_live_open(const struct manifest_catalogue_options *options,
                                                 struct list_live **ret_live, struct err *err);

#endif
