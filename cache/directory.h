/* The cache directory: `cache` of the settings, with one folder for each tier below it.
 *
 * A worker opens it before it enters its box, where the path may lead through folders that are closed to its
 * user; whatever lies below is then reached from these descriptors. Folders that are missing are made, for
 * the user whom workers become. Nothing here is locked or deleted; a crash leaves at most an empty folder. */
#ifndef CACHE_DIRECTORY_H
#define CACHE_DIRECTORY_H

#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>

enum cache_folder {
    CACHE_INDEX,       /* "index": shm/pyramid_index */
    CACHE_BLOCKS,      /* "blocks": of remote sources */
    CACHE_DERIVATIVES, /* "derivatives": rendered answers */
    CACHE_GATEWAY,     /* "gateway": the map of retired identifiers */
    CACHE_MANIFEST,    /* "manifest": the map of the catalogue, the log of changes */
    CACHE_GALLERY,     /* "gallery": the list of names that is searched */
    CACHE_FOLDERS,
};

/* O_PATH descriptors; -1 where there is no cache directory. */
struct cache_directory {
    int fd;
    int folder[CACHE_FOLDERS];
};
#define CACHE_DIRECTORY_NONE ((struct cache_directory){.fd = -1, .folder = {-1, -1, -1, -1, -1, -1}})

#define CACHE_DIRECTORY_PATH_BYTES 32

/* Opens `path` and its folders, making what is missing. `user` and `group` -1: they stay the caller's. RC_IO with
 * a sentence that begins with "cache". */
RC_MUST_USE enum rc cache_directory_open(const char *path, uid_t user, gid_t group,
                                         struct cache_directory *ret_directory, struct err *err);
void cache_directory_close(struct cache_directory *directory);

/* A path to a folder for libraries that take no descriptor: it leads through /proc. */
void cache_directory_path(const struct cache_directory *directory, enum cache_folder folder,
                          char ret_path[CACHE_DIRECTORY_PATH_BYTES]);

#endif
