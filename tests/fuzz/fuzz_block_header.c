/* The header of a block file, by somebody who can write into the cache directory. The checksum is put right, or nothing behind it
 * would ever be reached. */
#include "cache/block_file.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECKSUM_AT (48 + TRANSPORT_ETAG_BYTES + BLOCK_NAME_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t header[CHECKSUM_AT + 16] = {0};
    struct block_subject subject;
    if (block_file_header_read(data, size, &subject) && size < sizeof header)
        abort();
    memcpy(header, data, size < sizeof header ? size : sizeof header);
    uint64_t checksum = XXH3_64bits(header, CHECKSUM_AT);
    memcpy(header + CHECKSUM_AT, &checksum, sizeof checksum);
    if (block_file_header_read(header, sizeof header, &subject) &&
        (memchr(subject.name, '\0', sizeof subject.name) == NULL ||
         memchr(subject.etag, '\0', sizeof subject.etag) == NULL || subject.version.modified.tv_nsec < 0 ||
         subject.version.modified.tv_nsec > 999999999))
        abort();
    return 0;
}
