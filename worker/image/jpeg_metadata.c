#include "worker/image/jpeg_metadata.h"

#include "base/own.h"
#include "worker/image/encoders.h"
#include "worker/image/exif.h"

#define SEGMENT_BYTES   65533u /* a segment's 16-bit length counts itself */
#define ICC_PIECE_BYTES 65519u
#define MAX_ICC_PIECES  255u

enum { APP1 = 0xe1, APP2 = 0xe2, APP13 = 0xed };

/* A segment whose body is `name`, then `body`. */
static enum rc append(struct bytes *out, uint8_t marker, const void *name, size_t name_length,
                      const void *body, size_t length, struct err *err)
{
    size_t all = 2 + name_length + length;
    const uint8_t head[4] = {0xff, marker, (uint8_t)(all >> 8), (uint8_t)all};
    if (length == 0 || length > SEGMENT_BYTES - name_length)
        return RC_OK;
    enum rc rc = bytes_append(out, head, sizeof head, err);
    if (rc == RC_OK)
        rc = bytes_append(out, name, name_length, err);
    return rc == RC_OK ? bytes_append(out, body, length, err) : rc;
}

static enum rc append_exif(const struct bytes *exif, struct image_size size, struct bytes *out,
                           struct err *err)
{
    static const char name[] = "Exif\0";
    OWN(bytes_done) struct bytes copy = {0};
    if (!image_encode_given(exif))
        return RC_OK;
    enum rc rc = image_exif_copy(exif, size, &copy, err);
    return rc == RC_OK ? append(out, APP1, name, sizeof name, copy.data, copy.length, err) : rc;
}

/* In Photoshop's resource 0x0404, the frame in which APP13 holds IPTC records. */
static enum rc append_iptc(const struct bytes *iptc, struct bytes *out, struct err *err)
{
    static const char name[] = "Photoshop 3.0";
    OWN(bytes_done) struct bytes body = {0};
    if (!image_encode_given(iptc) || iptc->length > SEGMENT_BYTES - 64)
        return RC_OK;
    size_t n = iptc->length;
    const uint8_t head[12] = {'8',       'B', 'I', 'M', 4, 4, 0, 0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                              (uint8_t)n};
    enum rc rc = bytes_append(&body, head, sizeof head, err);
    if (rc == RC_OK)
        rc = bytes_append(&body, iptc->data, n, err);
    if (rc == RC_OK && n % 2 == 1)
        rc = bytes_append(&body, "", 1, err);
    return rc == RC_OK ? append(out, APP13, name, sizeof name, body.data, body.length, err) : rc;
}

static enum rc append_icc(const struct bytes *icc, struct bytes *out, struct err *err)
{
    enum rc rc = RC_OK;
    if (!image_encode_given(icc) || icc->length > (size_t)MAX_ICC_PIECES * ICC_PIECE_BYTES)
        return RC_OK;
    size_t pieces = (icc->length + ICC_PIECE_BYTES - 1) / ICC_PIECE_BYTES;
    for (size_t i = 0; rc == RC_OK && i < pieces; i++) {
        const uint8_t name[14] = {
            'I', 'C', 'C', '_', 'P', 'R', 'O', 'F', 'I', 'L', 'E', 0, (uint8_t)(i + 1), (uint8_t)pieces};
        size_t left = icc->length - i * ICC_PIECE_BYTES;
        rc = append(out, APP2, name, sizeof name, icc->data + i * ICC_PIECE_BYTES,
                    left < ICC_PIECE_BYTES ? left : ICC_PIECE_BYTES, err);
    }
    return rc;
}

enum rc image_jpeg_metadata_write(const struct image_encode_options *options, struct image_size size,
                                  struct bytes *out, struct err *err)
{
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/";
    enum rc rc = append_exif(options->exif, size, out, err);
    if (rc == RC_OK && image_encode_given(options->xmp))
        rc = append(out, APP1, xmp, sizeof xmp, options->xmp->data, options->xmp->length, err);
    if (rc == RC_OK)
        rc = append_iptc(options->iptc, out, err);
    return rc == RC_OK ? append_icc(options->icc, out, err) : rc;
}
