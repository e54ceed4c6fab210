#include "worker/ingest/record.h"

#include "base/own.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

/* To be counted up when the same options begin to give other pyramids: then all are made again. */
#define RECORD_VERSION 2

#define HEADER_BYTES     8
#define BIG_HEADER_BYTES 16

enum rc ingest_record_make(uint64_t source_bytes, const char *source_version, const char *variant,
                           struct bytes *out, struct err *err)
{
    size_t begin = out->length;
    enum rc rc = bytes_format(out, err, "vitrine ingest %d\nsource %" PRIu64 " %s\n%s\n", RECORD_VERSION,
                              source_bytes, source_version, variant);
    if (rc == RC_OK)
        rc = bytes_append(out, "", 1, err);
    if (rc == RC_OK && out->length - begin > INGEST_MAX_RECORD_BYTES)
        return err_set(err, RC_TOO_LARGE, "the record of a pyramid has %zu bytes", out->length - begin);
    return rc;
}

bool ingest_record_is_at(const uint8_t *first, size_t length, const char *record)
{
    size_t wanted = strlen(record) + 1;
    if (length < HEADER_BYTES || (first[0] != 'I' && first[0] != 'M') || first[0] != first[1])
        return false;
    size_t at = first[2] == 43 || first[3] == 43 ? BIG_HEADER_BYTES : HEADER_BYTES;
    return at + wanted <= length && memcmp(first + at, record, wanted) == 0;
}

bool ingest_record_is_in(const char *path, const char *record)
{
    uint8_t first[INGEST_RECORD_REACH_BYTES];
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? pread(fd, first, sizeof first, 0) : -1;
    return n > 0 && ingest_record_is_at(first, (size_t)n, record);
}
