#include "worker/http/compress.h"

#include "base/own.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

#define LEAST_BYTES 256u
#define GZIP_LEVEL  6
#define ZSTD_LEVEL  6
#define GZIP_WINDOW (15 + 16) /* the largest, with gzip's frame */

const char *http_compress_name(enum http_coding coding)
{
    return coding == HTTP_GZIP ? "gzip" : coding == HTTP_ZSTD ? "zstd" : NULL;
}

/* The weight in thousandths of "...;q=0.5"; 1 where none is written. */
static int weight_of(const char *parameters, size_t length)
{
    for (size_t i = 0; i + 2 < length; i++) {
        if ((parameters[i] != 'q' && parameters[i] != 'Q') || parameters[i + 1] != '=')
            continue;
        int weight = parameters[i + 2] == '1' ? 1000 : 0;
        for (size_t digit = i + 4, unit = 100; digit < length && unit > 0; digit++, unit /= 10) {
            if (parameters[digit] < '0' || parameters[digit] > '9')
                break;
            weight += (parameters[digit] - '0') * (int)unit;
        }
        return weight;
    }
    return 1000;
}

/* -1: it is not named. */
static int weight_in(const char *accept_encoding, const char *name)
{
    size_t name_length = strlen(name);
    for (const char *item = accept_encoding; *item != '\0';) {
        item += strspn(item, ", \t");
        size_t length = strcspn(item, ","), token = strcspn(item, "; \t,");
        if (token == name_length && strncasecmp(item, name, token) == 0)
            return weight_of(item + token, length - token);
        item += length;
    }
    return -1;
}

enum http_coding http_compress_choose(const char *accept_encoding)
{
    if (accept_encoding == NULL)
        return HTTP_IDENTITY;
    int any = weight_in(accept_encoding, "*");
    int zstd = weight_in(accept_encoding, "zstd"), gzip = weight_in(accept_encoding, "gzip");
    zstd = zstd < 0 ? any : zstd;
    gzip = gzip < 0 ? any : gzip;
    if (zstd <= 0 && gzip <= 0)
        return HTTP_IDENTITY;
    return zstd >= gzip ? HTTP_ZSTD : HTTP_GZIP;
}

static bool write_gzip(const struct bytes *body, struct bytes *out)
{
    z_stream stream = {.next_in = body->data, .avail_in = (uInt)body->length};
    if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    bool done = bytes_reserve(out, deflateBound(&stream, stream.avail_in), NULL) == RC_OK;
    if (done) {
        stream.next_out = out->data;
        stream.avail_out = (uInt)out->capacity;
        done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
        out->length = stream.total_out;
    }
    deflateEnd(&stream);
    return done;
}

static bool write_zstd(const struct bytes *body, struct bytes *out)
{
    if (bytes_reserve(out, ZSTD_compressBound(body->length), NULL) != RC_OK)
        return false;
    out->length = ZSTD_compress(out->data, out->capacity, body->data, body->length, ZSTD_LEVEL);
    return !ZSTD_isError(out->length);
}

enum rc http_compress_body(enum http_coding coding, struct bytes *body, enum http_coding *ret_coding,
                           struct err *err)
{
    OWN(bytes_done) struct bytes out = {0};
    *ret_coding = HTTP_IDENTITY;
    if (coding == HTTP_IDENTITY || body->length < LEAST_BYTES || body->length > UINT_MAX / 2)
        return RC_OK;
    if (!(coding == HTTP_GZIP ? write_gzip(body, &out) : write_zstd(body, &out)))
        return err_set(err, RC_NO_MEMORY, "no memory to compress %zu bytes", body->length);
    bytes_done(body);
    *body = out;
    out = (struct bytes){0};
    *ret_coding = coding;
    return RC_OK;
}
