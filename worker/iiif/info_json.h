/* info.json of both versions, and which media type a client gets it as. Pure but for the JSON library's
 * allocations. */
#ifndef WORKER_IIIF_INFO_JSON_H
#define WORKER_IIIF_INFO_JSON_H

#include "base/bytes.h"
#include "worker/iiif/plan.h"

/* Appends to `out`, which is as before when this fails. `id` is the base URI without a trailing slash;
 * RC_BAD_REQUEST when it is not UTF-8, which only raw bytes in a URL can cause.
 *
 * `sizes` are the real levels, upright, smallest first; `tiles` the real tile grids, upright, with the scale
 * factors of their levels (a level without tiles goes along with the first one that has some); for a picture
 * stored without tiles, or in tiles above the limits, a virtual grid of 512 px or less over all powers of
 * two. Nothing is listed that the limits would refuse. */
RC_MUST_USE enum rc iiif_info_json(enum iiif_version version, const char *id,
                                   const struct image_pyramid *pyramid, const struct iiif_limits *limits,
                                   struct bytes *out, struct err *err);

/* The Content-Type for an Accept header (NULL: none sent); static text. RFC 9110 §12.5.1 with q-values,
 * matched on type/subtype; parameters are ignored. 3.0: ld+json with profile unless application/json is
 * preferred; 2.1.1: application/json unless ld+json is preferred. Never fails: what accepts neither gets the
 * default. */
const char *iiif_info_media_type(enum iiif_version version, const char *accept);

#endif
