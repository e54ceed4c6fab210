/* `vitrine manifest`: the documents that the server would answer with, as files.
 *
 * In the process of the command, which blocks on the file system (or on the network, where sources are there); of pictures only the headers
 * are read. A file is written under another name and renamed, and left alone where it is right already. A crash leaves at most such a
 * file, ".NAME.new", which the next run writes over. */
#ifndef WORKER_PUBLISH_H
#define WORKER_PUBLISH_H

#include "base/settings.h"

struct worker_publication {
    const struct settings *settings; /* base_url is set */
    const char *into;                /* a folder; made where it is missing */
    bool version[4];                 /* [2], [3]: which are wanted */
    bool is_recursive;               /* everything below as well */
};

struct worker_published {
    uint64_t documents, written; /* written: those that were not right already */
    uint64_t failures;           /* each was told on standard error */
};

/* Writes the document of each path below the image root ("" the root), NULL behind the last, as
 * INTO/presentation/VERSION/PATH/manifest or .../collection: what a server for files answers under the same addresses.
 * RC_BAD_REQUEST, RC_IO, ...: it could not begin. */
RC_MUST_USE enum rc worker_publish(const struct worker_publication *publication, const char *const *path,
                                   struct worker_published *ret_published, struct err *err);

/* Writes the manifest, version 3, of one picture to `file`. */
RC_MUST_USE enum rc worker_publish_one(const struct settings *settings, const char *path, const char *file,
                                       struct err *err);

#endif
