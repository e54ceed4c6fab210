/* Signatures of S3 requests: AWS Signature Version 4, in headers. Pure; the hash is nettle's.
 *
 * A request is signed for one moment, so each new try is signed anew. */
#ifndef CACHE_S3_SIGN_H
#define CACHE_S3_SIGN_H

#include "base/bytes.h"

#include <stdbool.h>
#include <time.h>

#define S3_SIGN_HASH_LETTERS 64u

struct s3_credentials {
    char access_key[160], secret_key[256],
        session_token[2048]; /* token empty: none; access key empty: do not sign */
    time_t expires;          /* 0: never */
};

struct s3_request {
    const char *method;
    const char *host;    /* as the Host header will have it, with the port if it has one */
    const char *path;    /* encoded, begins with "/" */
    const char *query;   /* encoded, sorted by name; "" for none */
    const char *payload; /* SHA-256 of the body in hexadecimal, or NULL: no body */
};

/* Appends the headers to send, each a line of "Name: value" with a NUL behind it: x-amz-date, x-amz-content-sha256,
 * x-amz-security-token and Authorization. */
RC_MUST_USE enum rc s3_sign(const struct s3_request *request, const struct s3_credentials *credentials,
                            const char *region, time_t now, struct bytes *headers, struct err *err);

/* As a path or query is to be encoded: all but letters, digits, "-._~" and, in paths, "/". */
RC_MUST_USE enum rc s3_encode(const char *text, bool is_path, struct bytes *out, struct err *err);

void s3_hash(const void *data, size_t length, char ret_letters[S3_SIGN_HASH_LETTERS + 1]);

#endif
