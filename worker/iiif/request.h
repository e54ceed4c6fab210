/* The text of a IIIF request → values, or the sentence that says which part of it is wrong. IIIF Image API
 * 3.0 §4 and 2.1.1 §4. Pure: no I/O, no globals, no allocation; any thread. The path arrives raw: it is split
 * on '/' first and each segment decoded exactly once. */
#ifndef WORKER_IIIF_REQUEST_H
#define WORKER_IIIF_REQUEST_H

#include "base/err.h"
#include "worker/image/geometry.h"

#include <stddef.h>

enum iiif_version { IIIF_2 = 2, IIIF_3 = 3 };

#define IIIF_MAX_IDENTIFIER_BYTES 1024u
/* Angles are read to ten decimals, as many as 2.1.1 allows, so that the canonical form says all there is. */
#define IIIF_ROTATION_UNITS 1e10

enum iiif_what {
    IIIF_BASE, /* {id}            → 303 to info.json */
    IIIF_INFO, /* {id}/info.json */
    IIIF_IMAGE, /* {id}/{region}/{size}/{rotation}/{quality}.{format}; also a tile of another protocol (worker/iiif/zoom.h) */
    IIIF_PRESENTATION,    /* a manifest or collection: no picture by itself */
    IIIF_ZOOM_DESCRIPTOR, /* what info.json is in the other protocols */
};

enum iiif_zoom_protocol { IIIF_ZOOM_NONE, IIIF_ZOOM_DEEPZOOM, IIIF_ZOOM_ZOOMIFY };

enum iiif_region_form { IIIF_REGION_FULL, IIIF_REGION_SQUARE, IIIF_REGION_PIXELS, IIIF_REGION_PERCENT };

enum iiif_size_form {
    IIIF_SIZE_FULL, /* 2.x `full` */
    IIIF_SIZE_MAX,
    IIIF_SIZE_WIDTH,    /* w,  */
    IIIF_SIZE_HEIGHT,   /* ,h  */
    IIIF_SIZE_PERCENT,  /* pct:n */
    IIIF_SIZE_EXACT,    /* w,h */
    IIIF_SIZE_CONFINED, /* !w,h */
};

enum iiif_quality { IIIF_DEFAULT, IIIF_COLOR, IIIF_GRAY, IIIF_BITONAL };
enum iiif_format { IIIF_JPG, IIIF_PNG, IIIF_WEBP, IIIF_TIF, IIIF_GIF, IIIF_AVIF };
#define IIIF_FORMATS 6

struct iiif_request {
    enum iiif_version version;
    enum iiif_what what;
    enum iiif_region_form region_form;
    double region[4]; /* x, y, w, h: pixels, whole numbers up to UINT32_MAX, or percent, any decimal >= 0 */
    enum iiif_size_form size_form;
    bool upscale;                 /* the caret of 3.0 */
    uint32_t width_px, height_px; /* what the size form names is never 0, the other one is */
    double size_percent;          /* may be 0 or above 100: the plan judges it */
    bool mirror;
    double rotation_deg; /* 0 <= r < 360, in whole 1 / IIIF_ROTATION_UNITS; 360 was read as 0 */
    enum iiif_quality quality;
    enum iiif_format format;
    /* A tile by its place: region and size follow from the picture's size (iiif_zoom_resolve()). */
    enum iiif_zoom_protocol zoom;
    uint32_t zoom_level, zoom_column, zoom_row;

    char identifier[IIIF_MAX_IDENTIFIER_BYTES + 1]; /* decoded, no NUL inside; page suffix still on it */
    /* As it stood in the URL: `id` echoes it byte for byte. */
    char raw_identifier[3 * IIIF_MAX_IDENTIFIER_BYTES + 1];
};

/* `path` is what follows "/iiif/{version}/" in the raw request target, without the query; `length` bytes, any
 * bytes. For IIIF_BASE and IIIF_INFO only the identifiers are filled in. RC_BAD_REQUEST names the part: "size
 * 'abc' is none of max, w, ,h ...". RC_NOT_FOUND where the number of segments fits no route (an unescaped
 * slash in an identifier, 3.0 §3) or the identifier is empty or too long. Every sentence is printable ASCII,
 * whatever the bytes were. */
RC_MUST_USE enum rc iiif_request_parse(enum iiif_version version, const char *path, size_t length,
                                       struct iiif_request *ret_request, struct err *err);

/* The identifier segment of any protocol, as iiif_request_parse() reads it. */
RC_MUST_USE enum rc iiif_request_identifier(const char *raw, size_t length, struct iiif_request *request,
                                            struct err *err);
/* False where there is no such format: "jpg" ... */
bool iiif_request_format(const char *name, size_t length, enum iiif_format *ret_format);

const char *iiif_quality_name(enum iiif_quality quality);
const char *iiif_format_name(enum iiif_format format); /* "jpg" ... */

#endif
