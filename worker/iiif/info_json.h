/* info.json of both versions, and which media type a client gets it as. Pure but for the JSON library's allocations
 * (jansson; this file is its home). */
#ifndef WORKER_IIIF_INFO_JSON_H
#define WORKER_IIIF_INFO_JSON_H

#include "base/bytes.h"
#include "worker/iiif/plan.h"

/* `id` is the base URI without a trailing slash. `sizes` are the real levels within the limits, `tiles` the real tile grid
 * with the scale factors the levels have; for a picture stored without tiles a virtual 512-px grid over all powers of two. */
RC_MUST_USE enum rc iiif_info_json(enum iiif_version version, const char *id,
                                   const struct image_pyramid *pyramid, const struct iiif_limits *limits,
                                   struct bytes *out, struct err *err);

/* The Content-Type for an Accept header (NULL: none sent); static text. RFC 9110 §12.5.1 with q-values, matched on
 * type/subtype; parameters are ignored. 3.0: ld+json with profile unless application/json is preferred; 2.1.1:
 * application/json unless ld+json is preferred. Never fails: what accepts neither gets the default. */
const char *iiif_info_media_type(enum iiif_version version, const char *accept);

#endif
