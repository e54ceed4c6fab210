/* Thumbnails of a new pyramid in the cache of the server that serves it (master/warm.h). Address, token and
 * image root are those of the settings, which therefore have to be the server's. Runs in a process of its own
 * per pyramid: an answer may take a while. */
#ifndef MASTER_THUMBNAILS_H
#define MASTER_THUMBNAILS_H

#include "base/settings.h"

/* What the server calls the file or folder `path`: where it lies below an image root, without links on the
 * way. `what` begins the sentence where it does not: RC_BAD_REQUEST, RC_IO. */
RC_MUST_USE enum rc master_thumbnails_find(const struct settings *settings, const char *what,
                                           const char *path, char **ret_below, struct err *err);

/* Before a batch begins: whether its destination lies below the image root, and there is a token.
 * RC_BAD_REQUEST. */
RC_MUST_USE enum rc master_thumbnails_check(const struct settings *settings, const char *into,
                                            struct err *err);

/* Asks for every size of the pyramid at `path`, and waits while the server has better things to do. RC_IO: no
 * server answers; RC_FORBIDDEN: not with this token; RC_NOT_FOUND, RC_UNSUPPORTED: another answer than the
 * image. */
RC_MUST_USE enum rc master_thumbnails_make(const struct settings *settings, const char *path,
                                           const char *sizes, struct err *err);

#endif
