/* Deep Zoom and Zoomify: the same tiles under other names. Pure; any thread.
 *
 *     deepzoom/{id}.dzi                             zoomify/{id}/ImageProperties.xml
 *     deepzoom/{id}_files/{level}/{column}_{row}.{format}      zoomify/{id}/TileGroup{n}/{tier}-{column}-{row}.{format}
 *
 * A tile becomes the IIIF request of the region and size that it stands for, so that all that is true of
 * tiles there (stored ones leave as they are, edges are right) is true here. Tiles are as large as the stored
 * ones, 256 pixels where these are not square, without overlap. */
#ifndef WORKER_IIIF_ZOOM_H
#define WORKER_IIIF_ZOOM_H

#include "base/bytes.h"
#include "worker/iiif/request.h"

/* `path` is what follows "/deepzoom/" or "/zoomify/", raw and without the query. RC_NOT_FOUND where it is
 * none of the forms above, RC_BAD_REQUEST where a number or the format in it is wrong. */
RC_MUST_USE enum rc iiif_zoom_parse(enum iiif_zoom_protocol protocol, const char *path, size_t length,
                                    struct iiif_request *ret_request, struct err *err);

/* Gives a tile its region and size. RC_NOT_FOUND: this picture has no such tile. */
RC_MUST_USE enum rc iiif_zoom_resolve(struct iiif_request *request, const struct image_pyramid *pyramid,
                                      struct err *err);

/* Appends the XML document that describes the picture. */
RC_MUST_USE enum rc iiif_zoom_descriptor(enum iiif_zoom_protocol protocol,
                                         const struct image_pyramid *pyramid, struct bytes *out,
                                         struct err *err);

#endif
