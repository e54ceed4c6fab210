/* Paths of Deep Zoom and Zoomify, in both readings: what is taken for a tile lies in the picture. */
#include "worker/iiif/zoom.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_protocol(enum iiif_zoom_protocol protocol, const char *path, size_t length)
{
    struct image_pyramid pyramid = {.level_count = 1, .orientation = 1};
    pyramid.level[0] = (struct image_level){{70000, 33333}, {256, 256}, 1};
    struct iiif_request request;
    struct err err;
    if (iiif_zoom_parse(protocol, path, length, &request, &err) != RC_OK || request.what != IIIF_IMAGE ||
        iiif_zoom_resolve(&request, &pyramid, &err) != RC_OK)
        return;
    if (request.region[0] + request.region[2] > 70000 || request.region[1] + request.region[3] > 33333 ||
        request.region[2] < 1 || request.region[3] < 1 || request.width_px < 1 || request.width_px > 256 ||
        request.height_px < 1 || request.height_px > 256)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_protocol(IIIF_ZOOM_DEEPZOOM, (const char *)data, size);
    try_protocol(IIIF_ZOOM_ZOOMIFY, (const char *)data, size);
    return 0;
}
