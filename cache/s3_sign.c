#include "cache/s3_sign.h"

#include "base/own.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <nettle/hmac.h>
#include <nettle/sha2.h>

static void to_letters(const uint8_t digest[SHA256_DIGEST_SIZE], char ret_letters[S3_SIGN_HASH_LETTERS + 1])
{
    for (size_t i = 0; i < SHA256_DIGEST_SIZE; i++)
        snprintf(ret_letters + 2 * i, 3, "%02x", digest[i]);
}

void s3_hash(const void *data, size_t length, char ret_letters[S3_SIGN_HASH_LETTERS + 1])
{
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    sha256_update(&sha, length, data);
    sha256_digest(&sha, sizeof digest, digest);
    to_letters(digest, ret_letters);
}

static void hmac(const void *key, size_t key_length, const char *text, uint8_t ret_digest[SHA256_DIGEST_SIZE])
{
    struct hmac_sha256_ctx context;
    hmac_sha256_set_key(&context, key_length, key);
    hmac_sha256_update(&context, strlen(text), (const uint8_t *)text);
    hmac_sha256_digest(&context, SHA256_DIGEST_SIZE, ret_digest);
}

enum rc s3_encode(const char *text, bool is_path, struct bytes *out, struct err *err)
{
    enum rc rc = RC_OK;
    for (const char *c = text; rc == RC_OK && *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        bool as_is = byte < 0x80 &&
                     (isalnum(byte) || strchr("-._~", byte) != NULL || (is_path && byte == '/'));
        char coded[4];
        snprintf(coded, sizeof coded, "%%%02X", byte);
        rc = as_is ? bytes_append(out, c, 1, err) : bytes_append(out, coded, 3, err);
    }
    return rc;
}

/* The signature of what is signed, by a key made of the secret, day, region and service. */
static void sign(const struct s3_credentials *credentials, const char *day, const char *region,
                 const char *text, char ret_letters[S3_SIGN_HASH_LETTERS + 1])
{
    char secret[sizeof credentials->secret_key + 4];
    uint8_t key[SHA256_DIGEST_SIZE];
    snprintf(secret, sizeof secret, "AWS4%s", credentials->secret_key);
    hmac(secret, strlen(secret), day, key);
    hmac(key, sizeof key, region, key);
    hmac(key, sizeof key, "s3", key);
    hmac(key, sizeof key, "aws4_request", key);
    hmac(key, sizeof key, text, key);
    to_letters(key, ret_letters);
}

enum rc s3_sign(const struct s3_request *request, const struct s3_credentials *credentials,
                const char *region, time_t now, struct bytes *headers, struct err *err)
{
    char moment[20], day[12], payload[S3_SIGN_HASH_LETTERS + 1], hash[S3_SIGN_HASH_LETTERS + 1];
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(moment, sizeof moment, "%Y%m%dT%H%M%SZ", &parts);
    strftime(day, sizeof day, "%Y%m%d", &parts);
    s3_hash("", 0, payload);
    if (request->payload != NULL)
        snprintf(payload, sizeof payload, "%s", request->payload);

    const char *token = credentials->session_token;
    const char *signed_names = token[0] != '\0' ? "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
                                                : "host;x-amz-content-sha256;x-amz-date";
    OWN(bytes_done) struct bytes canonical = {0};
    OWN(bytes_done) struct bytes text = {0};
    enum rc rc = bytes_format(&canonical, err,
                              "%s\n%s\n%s\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n%s%s%s\n%s\n%s",
                              request->method, request->path, request->query, request->host, payload, moment,
                              token[0] != '\0' ? "x-amz-security-token:" : "", token,
                              token[0] != '\0' ? "\n" : "", signed_names, payload);
    if (rc != RC_OK)
        return rc;
    s3_hash(canonical.data, canonical.length, hash);
    rc = bytes_format(&text, err, "AWS4-HMAC-SHA256\n%s\n%s/%s/s3/aws4_request\n%s%c", moment, day, region,
                      hash, '\0');
    if (rc != RC_OK)
        return rc;
    char signature[S3_SIGN_HASH_LETTERS + 1];
    sign(credentials, day, region, (const char *)text.data, signature);
    rc = bytes_format(headers, err, "x-amz-date: %s%cx-amz-content-sha256: %s%c", moment, '\0', payload,
                      '\0');
    if (rc == RC_OK && token[0] != '\0')
        rc = bytes_format(headers, err, "x-amz-security-token: %s%c", token, '\0');
    if (rc == RC_OK)
        rc = bytes_format(
            headers, err,
            "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s/%s/s3/aws4_request, SignedHeaders=%s, "
            "Signature=%s%c",
            credentials->access_key, day, region, signed_names, signature, '\0');
    return rc;
}
