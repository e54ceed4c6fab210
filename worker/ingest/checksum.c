#include "worker/ingest/checksum.h"

#include "base/fdio.h"
#include "base/own.h"

#include <xxhash.h>

#define READ_BYTES ((size_t)256 << 10)

struct ingest_checksum {
    XXH64_state_t *state;
};

enum rc ingest_checksum_new(struct ingest_checksum **ret, struct err *err)
{
    struct ingest_checksum *checksum = calloc(1, sizeof *checksum);

    if (checksum != NULL)
        checksum->state = XXH64_createState();
    if (checksum == NULL || checksum->state == NULL) {
        ingest_checksum_free(&checksum);
        return err_set(err, RC_NO_MEMORY, "no memory for a checksum");
    }
    XXH64_reset(checksum->state, 0);
    *ret = checksum;
    return RC_OK;
}

void ingest_checksum_free(struct ingest_checksum **checksum)
{
    if (*checksum != NULL)
        XXH64_freeState((*checksum)->state);
    free(*checksum);
    *checksum = NULL;
}

void ingest_checksum_add(struct ingest_checksum *checksum, const void *data, size_t length)
{
    if (length > 0)
        XXH64_update(checksum->state, data, length);
}

uint64_t ingest_checksum_value(const struct ingest_checksum *checksum)
{
    return XXH64_digest(checksum->state);
}

enum rc ingest_checksum_file(int fd, uint64_t offset, uint64_t length, uint64_t *ret_value, struct err *err)
{
    OWN(ingest_checksum_free) struct ingest_checksum *checksum = NULL;
    OWN_FREE uint8_t *buffer = malloc(READ_BYTES);
    enum rc rc = ingest_checksum_new(&checksum, err);

    if (rc == RC_OK && buffer == NULL)
        rc = err_set(err, RC_NO_MEMORY, "no memory to read a file");
    while (rc == RC_OK && length > 0) {
        size_t count = length < READ_BYTES ? (size_t)length : READ_BYTES;
        rc = fdio_pread_exact(fd, buffer, count, offset, err);
        if (rc == RC_OK)
            ingest_checksum_add(checksum, buffer, count);
        offset += count;
        length -= count;
    }
    if (rc == RC_OK)
        *ret_value = ingest_checksum_value(checksum);
    return rc;
}
