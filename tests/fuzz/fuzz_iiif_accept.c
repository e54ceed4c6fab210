/* The Accept header: any bytes lead to one of the four media types, and to the same one however they are
 * asked for. */
#include "worker/iiif/info_json.h"
#include "worker/iiif/media_range.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly as large as the text and its NUL, so that the sanitizer sees a read past its end. */
    char *accept = malloc(size + 1);
    if (accept == NULL)
        return 0;
    if (size > 0)
        memcpy(accept, data, size);
    accept[size] = '\0';

    int order = iiif_media_range_compare(accept, "application/ld+json", "application/json");
    assert(order >= -1000 && order <= 1000);
    assert(iiif_media_range_compare(accept, "application/json", "application/ld+json") == -order);
    for (enum iiif_version version = IIIF_2; version <= IIIF_3; version++) {
        const char *type = iiif_info_media_type(version, accept);
        bool linked = strncmp(type, "application/ld+json", 19) == 0;
        assert(linked || strcmp(type, "application/json") == 0);
        assert(order == 0 ? linked == (version == IIIF_3) : linked == (order > 0));
        assert((strstr(type, ";profile=") != NULL) == (linked && version == IIIF_3));
    }
    free(accept);
    return 0;
}
