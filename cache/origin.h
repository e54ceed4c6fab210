/* The origin: the image root and the files below it. The only way from an identifier's path to a descriptor.
 *
 * Opened once per worker after fork; used by many threads (it only holds a directory descriptor). */
#ifndef CACHE_ORIGIN_H
#define CACHE_ORIGIN_H

#include "worker/image/blob.h"

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct origin;

/* Which state of a file this is: changes whenever the file is replaced or rewritten. */
struct origin_version {
    uint64_t size_bytes, inode;
    struct timespec modified;
};

RC_MUST_USE enum rc origin_open(const char *root_path, struct origin **ret_origin, struct err *err);
void origin_close(struct origin **origin);
/* The root's descriptor, which stays the origin's. */
int origin_root(const struct origin *origin);

/* Opens a regular file beneath the root read-only: openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS), so links may lead about
 * below the root and never out of it. RC_NOT_FOUND (also for directories, devices, forbidden paths), RC_IO. */
RC_MUST_USE enum rc origin_open_blob(struct origin *origin, const char *path, struct image_blob **ret_blob,
                                     struct origin_version *ret_version, struct err *err);
/* The version a fresh open would find, without opening for reading. Same codes. */
RC_MUST_USE enum rc origin_stat_file(struct origin *origin, const char *path,
                                     struct origin_version *ret_version, struct err *err);
uint64_t origin_version_hash(const struct origin_version *version);

#endif
