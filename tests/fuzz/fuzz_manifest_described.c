/* What is said about an image, in any bytes: a sidecar, and what pictures embed. */
#include "worker/manifest/described.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest_described said = {NULL};
    struct manifest_embedded embedded;
    struct err err;
    if (manifest_described_sidecar(data, size, &said, &err) != RC_OK && err.message[0] == '\0')
        abort();
    manifest_described_done(&said);

    struct image_metadata metadata = {0};
    struct arena *arena = arena_new();
    if (arena == NULL || bytes_append(&metadata.xmp, data, size, NULL) != RC_OK ||
        bytes_append(&metadata.iptc, data, size, NULL) != RC_OK ||
        bytes_append(&metadata.exif, data, size, NULL) != RC_OK)
        abort();
    manifest_embedded_read(&metadata, arena, &embedded);
    if (manifest_described_embedded(&embedded, &said, &err) != RC_OK) /* all of it is clean UTF-8 by now */
        abort();
    manifest_described_done(&said);
    bytes_done(&metadata.xmp);
    bytes_done(&metadata.iptc);
    bytes_done(&metadata.exif);
    arena_free(arena);
    return 0;
}
