#include "worker/iiif/request.h"

#include "worker/iiif/percent.h"
#include "worker/iiif/quote.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define MAX_SEGMENTS        5u
#define MAX_PARAMETER_BYTES 127u /* far more than the longest meaningful region */
#define MAX_DECIMAL_BYTES   20u

/* Bytes that somebody else owns; no NUL at the end. */
struct piece {
    const char *data;
    size_t length;
};

/* One parameter, decoded, with its name for the sentences. */
struct parameter {
    const char *name;
    struct piece text;
    char data[MAX_PARAMETER_BYTES];
};

static const char *const quality_names[] = {"default", "color", "gray", "bitonal"};
static const char *const format_names[IIIF_FORMATS] = {"jpg", "png", "webp", "tif", "gif", "avif"};

const char *iiif_quality_name(enum iiif_quality quality)
{
    return quality_names[quality];
}

const char *iiif_format_name(enum iiif_format format)
{
    return format_names[format];
}

/* ---- pieces ---- */

static bool piece_is(struct piece piece, const char *word)
{
    return piece.length == strlen(word) && memcmp(piece.data, word, piece.length) == 0;
}

static bool piece_drop_prefix(struct piece *piece, const char *prefix)
{
    size_t length = strlen(prefix);
    if (piece->length < length || memcmp(piece->data, prefix, length) != 0)
        return false;
    *piece = (struct piece){piece->data + length, piece->length - length};
    return true;
}

static struct iiif_quote piece_quote(struct piece piece)
{
    return iiif_quote_make(piece.data, piece.length);
}

bool iiif_request_format(const char *name, size_t length, enum iiif_format *ret_format)
{
    for (unsigned f = 0; f < IIIF_FORMATS; f++)
        if (piece_is((struct piece){name, length}, format_names[f])) {
            *ret_format = (enum iiif_format)f;
            return true;
        }
    return false;
}

/* The number of pieces between separators; only the first `capacity` are stored. */
static size_t piece_split(struct piece text, char separator, struct piece *pieces, size_t capacity)
{
    size_t count = 0;
    for (size_t start = 0, i = 0; i <= text.length; i++) {
        if (i < text.length && text.data[i] != separator)
            continue;
        if (count < capacity)
            pieces[count] = (struct piece){text.data + start, i - start};
        count++;
        start = i + 1;
    }
    return count;
}

/* `ret_parameter->text` points into the parameter: it is not to be copied. */
static enum rc decode_parameter(const char *name, struct piece raw, struct parameter *ret_parameter,
                                struct err *err)
{
    size_t length = 0;
    enum rc rc = iiif_percent_decode(name, raw.data, raw.length, ret_parameter->data,
                                     sizeof ret_parameter->data, &length, RC_BAD_REQUEST, err);
    if (rc != RC_OK)
        return rc;
    ret_parameter->name = name;
    ret_parameter->text = (struct piece){ret_parameter->data, length};
    return RC_OK;
}

/* ---- numbers ---- */

static enum rc read_whole(const struct parameter *of, struct piece digits, uint32_t *ret_value,
                          struct err *err)
{
    uint64_t value = 0;
    bool too_large = false;
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return err_set(err, RC_BAD_REQUEST, "%s '%s': '%s' is not a whole number without sign", of->name,
                           piece_quote(of->text).text, piece_quote(digits).text);
        value = value * 10 + (uint64_t)(digits.data[i] - '0');
        too_large |= value > UINT32_MAX;
        if (too_large)
            value = UINT32_MAX;
    }
    if (digits.length == 0)
        return err_set(err, RC_BAD_REQUEST, "%s '%s': a number is missing", of->name,
                       piece_quote(of->text).text);
    if (too_large)
        return err_set(err, RC_BAD_REQUEST, "%s '%s': %s is larger than any picture", of->name,
                       piece_quote(of->text).text, piece_quote(digits).text);
    *ret_value = (uint32_t)value;
    return RC_OK;
}

/* Digits and at most one point (3.0 §4.7, floating point values); `.9` and `22.50` pass. Independent of the
 * locale. */
static enum rc read_decimal(const struct parameter *of, struct piece text, double *ret_value, struct err *err)
{
    double whole = 0, fraction = 0, scale = 1;
    size_t digits = 0;
    bool point = false, wrong = false;
    for (size_t i = 0; i < text.length && i < MAX_DECIMAL_BYTES; i++) {
        char c = text.data[i];
        if (c == '.') {
            wrong |= point;
            point = true;
        } else if (c < '0' || c > '9') {
            wrong = true;
        } else {
            digits++;
            if (point) {
                fraction = fraction * 10 + (c - '0');
                scale *= 10;
            } else {
                whole = whole * 10 + (c - '0');
            }
        }
    }
    if (wrong || digits == 0)
        return err_set(err, RC_BAD_REQUEST, "%s '%s': '%s' is not a decimal number without sign and exponent",
                       of->name, piece_quote(of->text).text, piece_quote(text).text);
    if (text.length > MAX_DECIMAL_BYTES)
        return err_set(err, RC_BAD_REQUEST, "%s '%s': '%s' has more than %u characters", of->name,
                       piece_quote(of->text).text, piece_quote(text).text, MAX_DECIMAL_BYTES);
    *ret_value = whole + fraction / scale;
    return RC_OK;
}

/* ---- parameters ---- */

static enum rc read_region(struct piece raw, struct iiif_request *request, struct err *err)
{
    struct parameter region;
    enum rc rc = decode_parameter("region", raw, &region, err);
    if (rc != RC_OK)
        return rc;
    struct piece text = region.text, numbers[4];
    if (piece_is(text, "full")) {
        request->region_form = IIIF_REGION_FULL;
        return RC_OK;
    }
    if (piece_is(text, "square")) {
        request->region_form = IIIF_REGION_SQUARE;
        return RC_OK;
    }
    bool percent = piece_drop_prefix(&text, "pct:");
    if (piece_split(text, ',', numbers, 4) != 4)
        return err_set(err, RC_BAD_REQUEST, "region '%s' is none of full, square, x,y,w,h and pct:x,y,w,h",
                       piece_quote(region.text).text);
    request->region_form = percent ? IIIF_REGION_PERCENT : IIIF_REGION_PIXELS;
    for (int i = 0; i < 4 && rc == RC_OK; i++) {
        uint32_t whole = 0;
        if (percent) {
            rc = read_decimal(&region, numbers[i], &request->region[i], err);
        } else {
            rc = read_whole(&region, numbers[i], &whole, err);
            request->region[i] = whole;
        }
    }
    return rc;
}

static enum rc size_unknown(const struct parameter *size, enum iiif_version version, struct err *err)
{
    return err_set(err, RC_BAD_REQUEST, "size '%s' is none of %s", piece_quote(size->text).text,
                   version == IIIF_3 ? "max, w, ,h pct:n w,h and !w,h, each with or without ^ in front"
                                     : "full, max, w, ,h pct:n w,h and !w,h");
}

/* "w," ",h" "w,h" and "!w,h" */
static enum rc read_size_edges(const struct parameter *size, struct piece text, struct iiif_request *request,
                               struct err *err)
{
    struct piece edges[2];
    bool confined = piece_drop_prefix(&text, "!");
    if (piece_split(text, ',', edges, 2) != 2 || (edges[0].length == 0 && edges[1].length == 0) ||
        (confined && (edges[0].length == 0 || edges[1].length == 0)))
        return size_unknown(size, request->version, err);
    if (confined)
        request->size_form = IIIF_SIZE_CONFINED;
    else if (edges[1].length == 0)
        request->size_form = IIIF_SIZE_WIDTH;
    else
        request->size_form = edges[0].length == 0 ? IIIF_SIZE_HEIGHT : IIIF_SIZE_EXACT;

    uint32_t *const values[2] = {&request->width_px, &request->height_px};
    for (int i = 0; i < 2; i++) {
        if (edges[i].length == 0)
            continue;
        enum rc rc = read_whole(size, edges[i], values[i], err);
        if (rc != RC_OK)
            return rc;
        if (*values[i] == 0)
            return err_set(err, RC_BAD_REQUEST, "size '%s' asks for a %s of 0 pixels",
                           piece_quote(size->text).text, i == 0 ? "width" : "height");
    }
    return RC_OK;
}

static enum rc read_size(struct piece raw, struct iiif_request *request, struct err *err)
{
    struct parameter size;
    enum rc rc = decode_parameter("size", raw, &size, err);
    if (rc != RC_OK)
        return rc;
    struct piece text = size.text;
    if (piece_is(text, "full")) {
        if (request->version == IIIF_3)
            return err_set(err, RC_BAD_REQUEST, "size 'full' belongs to version 2, version 3 says max");
        request->size_form = IIIF_SIZE_FULL;
        return RC_OK;
    }
    request->upscale = piece_drop_prefix(&text, "^");
    if (request->upscale && request->version == IIIF_2)
        return err_set(err, RC_BAD_REQUEST,
                       "size '%s': the ^ belongs to version 3, version 2 enlarges without it",
                       piece_quote(size.text).text);
    if (piece_is(text, "max")) {
        request->size_form = IIIF_SIZE_MAX;
        return RC_OK;
    }
    if (!piece_drop_prefix(&text, "pct:"))
        return read_size_edges(&size, text, request, err);
    request->size_form = IIIF_SIZE_PERCENT;
    return read_decimal(&size, text, &request->size_percent, err);
}

static enum rc read_rotation(struct piece raw, struct iiif_request *request, struct err *err)
{
    struct parameter rotation;
    double degrees = 0;
    enum rc rc = decode_parameter("rotation", raw, &rotation, err);
    if (rc != RC_OK)
        return rc;
    struct piece text = rotation.text;
    request->mirror = piece_drop_prefix(&text, "!");
    rc = read_decimal(&rotation, text, &degrees, err);
    if (rc != RC_OK)
        return rc;
    if (degrees > 360)
        return err_set(err, RC_BAD_REQUEST, "rotation '%s' is not between 0 and 360 degrees",
                       piece_quote(rotation.text).text);
    /* What the canonical form can write is what counts, so that asking for it again gives the same plan. */
    degrees = round(degrees * IIIF_ROTATION_UNITS) / IIIF_ROTATION_UNITS;
    request->rotation_deg = degrees >= 360 ? 0 : degrees;
    return RC_OK;
}

static enum rc read_quality_and_format(struct piece raw, struct iiif_request *request, struct err *err)
{
    struct parameter last;
    enum rc rc = decode_parameter("quality and format", raw, &last, err);
    if (rc != RC_OK)
        return rc;
    const char *dot = memrchr(last.data, '.', last.text.length);
    if (dot == NULL)
        return err_set(err, RC_BAD_REQUEST, "'%s' is not quality.format: the format is missing",
                       piece_quote(last.text).text);
    struct piece quality = {last.data, (size_t)(dot - last.data)};
    struct piece format = {dot + 1, last.text.length - quality.length - 1};

    size_t q = 0;
    while (q <= IIIF_BITONAL && !piece_is(quality, quality_names[q]))
        q++;
    if (q > IIIF_BITONAL)
        return err_set(err, RC_BAD_REQUEST, "quality '%s' is none of default, color, gray and bitonal",
                       piece_quote(quality).text);
    if (!iiif_request_format(format.data, format.length, &request->format))
        return err_set(err, RC_BAD_REQUEST, "format '%s' is none of jpg, png, webp, tif, gif and avif",
                       piece_quote(format).text);
    request->quality = (enum iiif_quality)q;
    return RC_OK;
}

/* ---- the whole ---- */

enum rc iiif_request_identifier(const char *raw, size_t raw_length, struct iiif_request *request,
                                struct err *err)
{
    size_t length = 0;
    if (raw_length == 0)
        return err_set(err, RC_NOT_FOUND, "the identifier is empty");
    if (raw_length >= sizeof request->raw_identifier)
        return err_set(err, RC_NOT_FOUND, "the identifier '%s' is longer than %u bytes",
                       iiif_quote_make(raw, raw_length).text, IIIF_MAX_IDENTIFIER_BYTES);
    enum rc rc = iiif_percent_decode("the identifier", raw, raw_length, request->identifier,
                                     IIIF_MAX_IDENTIFIER_BYTES, &length, RC_NOT_FOUND, err);
    if (rc != RC_OK)
        return rc;
    request->identifier[length] = '\0';
    memcpy(request->raw_identifier, raw, raw_length);
    request->raw_identifier[raw_length] = '\0';
    return RC_OK;
}

static bool is_info(struct piece raw)
{
    struct parameter last;
    return decode_parameter("info.json", raw, &last, NULL) == RC_OK && piece_is(last.text, "info.json");
}

static enum rc read_image(const struct piece segments[MAX_SEGMENTS], struct iiif_request *request,
                          struct err *err)
{
    enum rc rc = read_region(segments[1], request, err);
    if (rc == RC_OK)
        rc = read_size(segments[2], request, err);
    if (rc == RC_OK)
        rc = read_rotation(segments[3], request, err);
    if (rc == RC_OK)
        rc = read_quality_and_format(segments[4], request, err);
    return rc;
}

enum rc iiif_request_parse(enum iiif_version version, const char *path, size_t length,
                           struct iiif_request *ret_request, struct err *err)
{
    assert(version == IIIF_2 || version == IIIF_3);
    struct piece segments[MAX_SEGMENTS] = {{NULL, 0}};
    struct iiif_request request;
    memset(&request, 0, offsetof(struct iiif_request, identifier));
    request.version = version;
    size_t count = piece_split((struct piece){path, length}, '/', segments, MAX_SEGMENTS);
    if (count == 1)
        request.what = IIIF_BASE;
    else if (count == 2 && is_info(segments[1]))
        request.what = IIIF_INFO;
    else if (count == MAX_SEGMENTS)
        request.what = IIIF_IMAGE;
    else
        return err_set(
            err, RC_NOT_FOUND,
            "the path is neither {identifier}/info.json nor {identifier}/{region}/{size}/{rotation}/"
            "{quality}.{format}; a slash inside the identifier is written %%2F");

    enum rc rc = iiif_request_identifier(segments[0].data, segments[0].length, &request, err);
    if (rc == RC_OK && request.what == IIIF_IMAGE)
        rc = read_image(segments, &request, err);
    if (rc != RC_OK)
        return rc;
    /* The texts have room for four kilobytes, which hardly one needs. */
    memcpy(ret_request, &request, offsetof(struct iiif_request, identifier));
    memcpy(ret_request->identifier, request.identifier, strlen(request.identifier) + 1);
    memcpy(ret_request->raw_identifier, request.raw_identifier, strlen(request.raw_identifier) + 1);
    return RC_OK;
}
