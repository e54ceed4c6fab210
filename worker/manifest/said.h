/* What is said of a picture or a folder, by whom: its sidecar, its row of the catalogue, the picture itself,
 * the file's name. Each adds to `said` what is not said there yet, so they are asked in this order. Who has
 * nothing to say, or says it wrongly, adds nothing.
 *
 * RC_AWAY: it has to be fetched first. RC_NO_MEMORY. On a render thread: blocks on the file system. */
#ifndef WORKER_MANIFEST_SAID_H
#define WORKER_MANIFEST_SAID_H

#include "worker/manifest/described.h"
#include "worker/manifest/site.h"

/* Of `path`. The site is warned of one that is wrong. With RC_AWAY *ret_away is the sidecar's path, in the
 * arena. */
RC_MUST_USE enum rc manifest_said_sidecar(const struct manifest_site *site, const char *path, bool is_folder,
                                          struct arena *arena, struct manifest_described *said,
                                          const char **ret_away, struct err *err);
RC_MUST_USE enum rc manifest_said_row(const struct manifest_site *site, const char *path,
                                      struct manifest_described *said, struct err *err);
/* Of an open picture. What is added lives in the arena. */
RC_MUST_USE enum rc manifest_said_embedded(const struct picture *picture, struct arena *arena,
                                           struct manifest_described *said, struct err *err);
RC_MUST_USE enum rc manifest_said_name(const char *path, bool is_folder, struct manifest_described *said,
                                       struct err *err);

#endif
