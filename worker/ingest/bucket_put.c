/* A file becomes an object: in one request, or in parts that are tried again one by one. */
#include "worker/ingest/bucket_request.h"

#include "base/own.h"
#include "cache/s3_sign.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PART_BYTES        (UINT64_C(16) << 20) /* files of more than two of them go in parts */
#define MOST_PARTS        UINT64_C(10000)
#define MOST_OBJECT_BYTES (UINT64_C(5) << 40)
#define MOST_ANSWER_BYTES 65536
#define ETAG_XML_BYTES    (6 * TRANSPORT_ETAG_BYTES) /* each letter an entity */

struct upload {
    struct ingest_bucket *bucket;
    const uint8_t *data;
    uint64_t length, part_bytes;
    struct bytes id;    /* encoded as in a query, with its NUL */
    struct bytes parts; /* the document that ends it */
};

static void upload_done(struct upload *upload)
{
    bytes_done(&upload->id);
    bytes_done(&upload->parts);
}

static enum rc put_whole(struct ingest_bucket *bucket, const void *data, size_t length, struct err *err)
{
    char payload[S3_SIGN_HASH_LETTERS + 1];

    s3_hash(data, length, payload);
    const struct ingest_bucket_request request = {.method = "PUT",
                                                  .key = bucket->key,
                                                  .query = "",
                                                  .if_match = "",
                                                  .body = data,
                                                  .body_length = length,
                                                  .payload = payload,
                                                  .fd = -1};
    return ingest_bucket_ask(bucket, &request, err);
}

/* A POST whose answer must contain `expect`. */
static enum rc post(struct upload *upload, const char *query, const struct bytes *body, const char *expect,
                    struct bytes *answer, struct err *err)
{
    char payload[S3_SIGN_HASH_LETTERS + 1];
    const void *data = body->length > 0 ? body->data : (const void *)"";

    s3_hash(data, body->length, payload);
    const struct ingest_bucket_request request = {.method = "POST",
                                                  .key = upload->bucket->key,
                                                  .query = query,
                                                  .if_match = "",
                                                  .body = data,
                                                  .body_length = body->length,
                                                  .payload = payload,
                                                  .fd = -1,
                                                  .out = answer,
                                                  .most_bytes = MOST_ANSWER_BYTES,
                                                  .expect = expect};
    return ingest_bucket_ask(upload->bucket, &request, err);
}

static enum rc begin(struct upload *upload, struct err *err)
{
    OWN(bytes_done) struct bytes answer = {0};
    char id[S3_LIST_UPLOAD_BYTES];
    const struct bytes nothing = {0};
    enum rc rc = post(upload, "uploads=", &nothing, "</UploadId>", &answer, err);
    if (rc == RC_OK)
        rc = s3_list_upload((const char *)answer.data, answer.length, id, err);
    if (rc == RC_OK)
        rc = s3_encode(id, false, &upload->id, err);
    return rc == RC_OK ? bytes_append(&upload->id, "", 1, err) : rc;
}

/* The document of parts names each by the tag that the bucket gave it. */
static enum rc note_part(struct upload *upload, unsigned number, const char *etag, struct err *err)
{
    char text[ETAG_XML_BYTES + 1] = "";
    size_t length = 0;

    for (const char *c = etag; *c != '\0'; c++) {
        const char *entity = *c == '&' ? "&amp;" : *c == '<' ? "&lt;" : *c == '"' ? "&quot;" : NULL;
        int wrote = snprintf(text + length, sizeof text - length, entity != NULL ? "%s" : "%.1s",
                             entity != NULL ? entity : c);
        length += (size_t)wrote;
    }
    return bytes_format(&upload->parts, err, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>",
                        number, text);
}

static enum rc put_part(struct upload *upload, unsigned number, struct err *err)
{
    uint64_t at = (uint64_t)(number - 1) * upload->part_bytes, left = upload->length - at;
    size_t length = (size_t)(left < upload->part_bytes ? left : upload->part_bytes);
    char payload[S3_SIGN_HASH_LETTERS + 1], etag[TRANSPORT_ETAG_BYTES] = "";
    OWN(bytes_done) struct bytes query = {0};

    s3_hash(upload->data + at, length, payload);
    enum rc rc = bytes_format(&query, err, "partNumber=%u&uploadId=%s%c", number,
                              (const char *)upload->id.data, '\0');
    const struct ingest_bucket_request request = {.method = "PUT",
                                                  .key = upload->bucket->key,
                                                  .query = (const char *)query.data,
                                                  .if_match = "",
                                                  .body = upload->data + at,
                                                  .body_length = length,
                                                  .payload = payload,
                                                  .fd = -1,
                                                  .ret_etag = etag};
    if (rc == RC_OK)
        rc = ingest_bucket_ask(upload->bucket, &request, err);
    if (rc == RC_OK && etag[0] == '\0')
        rc = err_set(err, RC_ORIGIN, "the bucket %s gave part %u no tag", upload->bucket->name, number);
    return rc == RC_OK ? note_part(upload, number, etag, err) : rc;
}

static enum rc finish(struct upload *upload, struct err *err)
{
    OWN(bytes_done) struct bytes query = {0};
    OWN(bytes_done) struct bytes answer = {0};
    enum rc rc = bytes_format(&upload->parts, err, "</CompleteMultipartUpload>");
    if (rc == RC_OK)
        rc = bytes_format(&query, err, "uploadId=%s%c", (const char *)upload->id.data, '\0');
    return rc == RC_OK ? post(upload, (const char *)query.data, &upload->parts,
                              "</CompleteMultipartUploadResult>", &answer, err)
                       : rc;
}

/* So that the bucket does not keep, and charge for, what came. */
static void give_up(struct upload *upload)
{
    OWN(bytes_done) struct bytes query = {0};
    struct err ignored;
    if (bytes_format(&query, &ignored, "uploadId=%s%c", (const char *)upload->id.data, '\0') != RC_OK)
        return;
    const struct ingest_bucket_request request = {.method = "DELETE",
                                                  .key = upload->bucket->key,
                                                  .query = (const char *)query.data,
                                                  .if_match = "",
                                                  .fd = -1};
    (void)!ingest_bucket_ask(upload->bucket, &request, &ignored);
}

static enum rc put_parts(struct ingest_bucket *bucket, const uint8_t *data, uint64_t length, struct err *err)
{
    OWN(upload_done) struct upload upload = {.bucket = bucket, .data = data, .length = length};
    uint64_t least = (length + MOST_PARTS - 1) / MOST_PARTS;

    upload.part_bytes = (least + PART_BYTES - 1) / PART_BYTES * PART_BYTES;
    enum rc rc = begin(&upload, err);
    if (rc != RC_OK)
        return rc;
    rc = bytes_format(&upload.parts, err, "<CompleteMultipartUpload>");
    for (unsigned number = 1; rc == RC_OK && (number - 1) * upload.part_bytes < length; number++)
        rc = put_part(&upload, number, err);
    if (rc == RC_OK)
        rc = finish(&upload, err);
    if (rc != RC_OK)
        give_up(&upload);
    return rc;
}

enum rc ingest_bucket_put(struct ingest_bucket *bucket, int fd, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set_errno(err, RC_IO, errno, "the pyramid cannot be read");
    uint64_t length = (uint64_t)st.st_size;
    if (length > MOST_OBJECT_BYTES)
        return err_set(err, RC_TOO_LARGE, "the pyramid has more than 5 TiB, the most that a bucket takes");
    void *data = mmap(NULL, (size_t)length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return err_set_errno(err, RC_IO, errno, "the pyramid cannot be read");
    enum rc rc = length > 2 * PART_BYTES ? put_parts(bucket, data, length, err)
                                         : put_whole(bucket, data, (size_t)length, err);
    munmap(data, (size_t)length);
    return rc;
}
