#include "worker/image/jpeg_markers.h"

#include "base/own.h"
#include "worker/image/metadata.h"

#include <string.h>

#define MAX_SEGMENTS   4096u
#define MAX_ICC_PIECES 255u

enum {
    MARKER_EOI = 0xd9,
    MARKER_SOS = 0xda,
    MARKER_APP1 = 0xe1,
    MARKER_APP2 = 0xe2,
    MARKER_APP13 = 0xed,
};

struct jpeg_segment {
    uint8_t marker;
    uint64_t at, length; /* of the payload */
    uint8_t start[36];   /* its first bytes; zero beyond its end */
};

struct jpeg_pieces {
    uint64_t at[MAX_ICC_PIECES], length[MAX_ICC_PIECES];
    unsigned count; /* as the pieces say; 0: none seen */
    bool broken;
};

/* The segment at *at; moves *at behind it. RC_CORRUPT when there is none. */
static enum rc jpeg_next_segment(struct image_blob *blob, uint64_t *at, struct jpeg_segment *ret_segment,
                                 struct err *err)
{
    uint8_t head[4 + sizeof ret_segment->start] = {0};
    if (*at + 4 > blob->size_bytes)
        return RC_CORRUPT;
    size_t length = blob->size_bytes - *at < sizeof head ? (size_t)(blob->size_bytes - *at) : sizeof head;
    enum rc rc = image_blob_read(blob, head, length, *at, err);
    if (rc != RC_OK)
        return rc;
    if (head[0] != 0xff)
        return RC_CORRUPT;
    if (head[1] == 0xff) { /* a fill byte */
        *at += 1;
        *ret_segment = (struct jpeg_segment){0};
        return RC_OK;
    }
    unsigned size = bytes_be16(head + 2);
    if (head[1] == MARKER_SOS || head[1] == MARKER_EOI || size < 2 || blob->size_bytes - *at - 2 < size)
        return RC_CORRUPT;
    struct jpeg_segment segment = {.marker = head[1], .at = *at + 4, .length = size - 2};
    memcpy(segment.start, head + 4,
           segment.length < sizeof segment.start ? segment.length : sizeof segment.start);
    *ret_segment = segment;
    *at += 2 + (uint64_t)size;
    return RC_OK;
}

static enum rc jpeg_append_part(struct image_blob *blob, uint64_t at, uint64_t length, struct bytes *out,
                                struct err *err)
{
    if (out->length + length > IMAGE_METADATA_MAX_BYTES)
        return RC_OK;
    enum rc rc = bytes_reserve(out, (size_t)length, err);
    if (rc == RC_OK)
        rc = image_blob_read(blob, out->data + out->length, (size_t)length, at, err);
    if (rc == RC_OK)
        out->length += (size_t)length;
    return rc;
}

static bool jpeg_starts_with(const struct jpeg_segment *segment, const char *signature, size_t length)
{
    return segment->length >= length && memcmp(segment->start, signature, length) == 0;
}

static void jpeg_note_piece(const struct jpeg_segment *segment, struct jpeg_pieces *icc)
{
    unsigned number = segment->start[12], count = segment->start[13];
    if (segment->length < 14 || number == 0 || number > count || (icc->count != 0 && icc->count != count) ||
        icc->length[number - 1] != 0) {
        icc->broken = true;
        return;
    }
    icc->count = count;
    icc->at[number - 1] = segment->at + 14;
    icc->length[number - 1] = segment->length - 14;
}

static enum rc jpeg_take_segment(struct image_blob *blob, const struct jpeg_segment *segment,
                                 struct image_metadata *metadata, struct jpeg_pieces *icc,
                                 struct bytes *photoshop, struct err *err)
{
    static const char exif[] = "Exif\0", xmp[] = "http://ns.adobe.com/xap/1.0/", profile[] = "ICC_PROFILE",
                      resources[] = "Photoshop 3.0";
    struct bytes *whole = NULL;
    size_t skip = 0;
    if (segment->marker == MARKER_APP1 && jpeg_starts_with(segment, exif, sizeof exif) &&
        metadata->exif.length == 0) {
        whole = &metadata->exif;
        skip = sizeof exif;
    } else if (segment->marker == MARKER_APP1 && jpeg_starts_with(segment, xmp, sizeof xmp) &&
               metadata->xmp.length == 0) {
        whole = &metadata->xmp;
        skip = sizeof xmp;
    } else if (segment->marker == MARKER_APP13 && jpeg_starts_with(segment, resources, sizeof resources)) {
        whole = photoshop;
        skip = sizeof resources;
    } else if (segment->marker == MARKER_APP2 && jpeg_starts_with(segment, profile, sizeof profile)) {
        jpeg_note_piece(segment, icc);
    }
    return whole == NULL ? RC_OK
                         : jpeg_append_part(blob, segment->at + skip, segment->length - skip, whole, err);
}

enum rc image_jpeg_markers_read(struct image_blob *blob, struct image_metadata *metadata, struct err *err)
{
    struct jpeg_pieces icc = {.count = 0};
    OWN(bytes_done) struct bytes photoshop = {0};
    uint64_t at = 2; /* behind SOI */
    enum rc rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < MAX_SEGMENTS; i++) {
        struct jpeg_segment segment;
        rc = jpeg_next_segment(blob, &at, &segment, err);
        if (rc == RC_OK)
            rc = jpeg_take_segment(blob, &segment, metadata, &icc, &photoshop, err);
    }
    if (rc == RC_CORRUPT)
        rc = RC_OK; /* the scan begins, or what is no segment */
    for (unsigned i = 0; i < icc.count; i++)
        icc.broken = icc.broken || icc.length[i] == 0;
    for (unsigned i = 0; rc == RC_OK && i < icc.count && !icc.broken; i++)
        rc = jpeg_append_part(blob, icc.at[i], icc.length[i], &metadata->icc, err);
    if (rc == RC_OK)
        rc = image_metadata_photoshop_iptc(photoshop.data, photoshop.length, &metadata->iptc, err);
    return rc;
}
