/* Manifests of new pyramids, for `vitrine ingest --manifest`: written by what `vitrine manifest` uses
 * (worker/publish.h), for the server of these settings, from which image root and base_url are. Runs in a
 * process of its own per pyramid. */
#ifndef MASTER_MANIFESTS_H
#define MASTER_MANIFESTS_H

#include "base/settings.h"

/* Before a batch begins: whether its destination lies below the image root, and how the server is reached is
 * known. RC_BAD_REQUEST. */
RC_MUST_USE enum rc master_manifests_check(const struct settings *settings, const char *into,
                                           struct err *err);

/* Writes that of the pyramid at `path`: beside it as PATH.manifest.json, or below the folder ingest_manifests
 * as `vitrine manifest` does. */
RC_MUST_USE enum rc master_manifests_make(const struct settings *settings, const char *path, struct err *err);

#endif
