#include "worker/ingest/record.h"

#include "base/own.h"
#include "worker/ingest/convert.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

/* To be counted up when the same options begin to give other pyramids: then all are made again. */
#define RECORD_VERSION 1

#define HEADER_BYTES     8
#define BIG_HEADER_BYTES 16

enum rc ingest_record_make(const struct stat *source, const char *variant, struct bytes *out, struct err *err)
{
    size_t begin = out->length;
    enum rc rc = bytes_format(out, err, "vitrine ingest %d\nsource %" PRIu64 " %" PRId64 ".%09ld\n%s\n",
                              RECORD_VERSION, (uint64_t)source->st_size, (int64_t)source->st_mtim.tv_sec,
                              source->st_mtim.tv_nsec, variant);
    if (rc == RC_OK)
        rc = bytes_append(out, "", 1, err);
    if (rc == RC_OK && out->length - begin > INGEST_MAX_RECORD_BYTES)
        return err_set(err, RC_TOO_LARGE, "the record of a pyramid has %zu bytes", out->length - begin);
    return rc;
}

bool ingest_record_is_in(const char *path, const char *record)
{
    uint8_t first[BIG_HEADER_BYTES + INGEST_MAX_RECORD_BYTES];
    size_t length = strlen(record) + 1;
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? pread(fd, first, sizeof first, 0) : -1;
    if (n < HEADER_BYTES || (first[0] != 'I' && first[0] != 'M') || first[0] != first[1])
        return false;
    size_t at = first[2] == 43 || first[3] == 43 ? BIG_HEADER_BYTES : HEADER_BYTES;
    return at + length <= (size_t)n && memcmp(first + at, record, length) == 0;
}
