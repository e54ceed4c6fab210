#include "cache/web_verdict.h"

#include <string.h>

/* ---- the head ---- */

static uint64_t etag_hash(const char *etag)
{
    return etag[0] == '\0' ? 0 : bytes_hash(BYTES_HASH_START, etag, strlen(etag));
}

bool web_verdict_may_be_unchanged(const struct transport_fetch *fetch)
{
    return fetch->first && fetch->known != NULL;
}

enum rc web_verdict_part(const struct web_address *address, const struct transport_fetch *fetch,
                         const struct http_answer *head, struct transport_answer *ret_answer, struct err *err)
{
    const char *place = address->place;
    bool whole = head->status == 200;
    if (head->is_coded)
        return err_set(err, RC_ORIGIN,
                       "the origin %.100s sends the file compressed, so that its parts cannot be found",
                       place);
    if (whole ? !head->has_length : !head->has_range || !head->range_known)
        return err_set(err, RC_ORIGIN, "the origin %.100s does not say how long the file is", place);
    if (!whole && (head->range_first != fetch->offset || head->range_last >= fetch->offset + fetch->length))
        return err_set(err, RC_ORIGIN,
                       "the origin %.100s sends another part of the file than it was asked for", place);
    ret_answer->whole = whole;
    ret_answer->offset = whole ? 0 : head->range_first;
    ret_answer->version = (struct origin_version){.size_bytes = whole ? head->length_bytes : head->range_size,
                                                  .inode = etag_hash(head->etag),
                                                  .modified.tv_sec = head->modified_s};
    memcpy(ret_answer->etag, head->etag, sizeof ret_answer->etag);
    return RC_OK;
}

/* ---- the end ---- */

/* Why the store does not let us in, as the person who set it up has to hear it. */
static enum rc refused(const struct web_address *address, const struct web_verdict_subject *subject,
                       unsigned status, const char *code, struct err *err)
{
    const char *name = address->place;
    if (!address->is_s3)
        return err_set(err, RC_FORBIDDEN, "the origin %.100s does not give out this image (%u)", name,
                       status);
    if (strcmp(code, "RequestTimeTooSkewed") == 0)
        return err_set(err, RC_ORIGIN, "the store %.100s refuses: this server's clock is wrong (%s)", name,
                       code);
    if (strcmp(code, "SignatureDoesNotMatch") == 0 || strcmp(code, "InvalidAccessKeyId") == 0)
        return err_set(err, RC_ORIGIN,
                       "the store %.100s refuses the credentials: access key or secret key is wrong (%s)",
                       name, code);
    if (strcmp(code, "ExpiredToken") == 0)
        return err_set(err, RC_ORIGIN, "the store %.100s refuses: the credentials have expired (%s)", name,
                       code);
    if (strcmp(code, "InvalidObjectState") == 0)
        return err_set(err, RC_FORBIDDEN, "the store %.100s refuses: this image is archived (%s)", name,
                       code);
    if (strcmp(code, "AccessDenied") == 0) /* of this one: others may be had */
        return err_set(err, RC_FORBIDDEN,
                       "the store %.100s refuses: the credentials do not give the right to %s (%s)", name,
                       subject->right, code);
    return err_set(err, RC_ORIGIN,
                   "the store %.100s refuses: the credentials do not give the right to %s (%s)", name,
                   subject->right, code[0] != '\0' ? code : "403");
}

/* The bucket lies somewhere else than where it was asked for. */
static bool is_elsewhere(const struct http_answer *head, const char *code)
{
    return (head->status >= 301 && head->status <= 308 && head->status != 304) ||
           strcmp(code, "AuthorizationHeaderMalformed") == 0;
}

static enum rc elsewhere(const struct web_address *address, const struct http_answer *head, const char *code,
                         struct err *err)
{
    const char *region = head->bucket_region;
    if (region[0] != '\0' && strcmp(region, address->region) != 0)
        return err_set(err, RC_ORIGIN,
                       "the bucket of %.100s is in region %s: s3_region must say so, and not %.40s",
                       address->place, region, address->region);
    return err_set(err, RC_ORIGIN,
                   "the bucket of %.100s is elsewhere: s3_region (%.40s) or s3_endpoint is wrong (%u%s%s)",
                   address->place, address->region, head->status, code[0] != '\0' ? " " : "", code);
}

/* The name is one that no object can have. */
static bool is_no_key(const char *code)
{
    return strcmp(code, "InvalidObjectName") == 0 || strcmp(code, "InvalidURI") == 0 ||
           strcmp(code, "KeyTooLongError") == 0;
}

static enum rc judge(const struct web_address *address, const struct web_verdict_subject *subject,
                     const struct http_answer *head, const char *code, bool *ret_may_pass, struct err *err)
{
    const char *place = address->place;
    *ret_may_pass = false;
    switch (head->status) {
    case 404:
    case 410:
        if (strcmp(code, "NoSuchBucket") == 0)
            return err_set(err, RC_ORIGIN, "the store has no such bucket: %.120s", place);
        return err_set(err, RC_NOT_FOUND, "there is no %s '%.180s'", subject->kind, subject->name);
    case 401:
    case 403:
        return refused(address, subject, head->status, code, err);
    case 416:
        return err_set(err, RC_UNSUPPORTED, "the source is an empty file");
    case 429:
    case 503:
        *ret_may_pass = true;
        err_set(err, RC_BUSY, "the origin %.100s is overloaded (%u%s%s), please try again", place,
                head->status, code[0] != '\0' ? " " : "", code);
        err->retry_s = head->retry_after_s > 0 ? (uint32_t)head->retry_after_s : 1;
        return RC_BUSY;
    default:
        *ret_may_pass = head->status >= 500 || head->status == 408;
        if (address->is_s3 && is_elsewhere(head, code))
            return elsewhere(address, head, code, err);
        if (address->is_s3 && head->status == 400 && is_no_key(code))
            return err_set(err, RC_NOT_FOUND, "there is no %s '%.180s'", subject->kind, subject->name);
        return err_set(err, RC_ORIGIN, "the origin %.100s answers %u%s%s", place, head->status,
                       code[0] != '\0' ? " " : "", code);
    }
}

static enum rc judge_text(const struct web_address *address, const struct web_verdict_subject *subject,
                          const struct http_answer *head, const struct bytes *text,
                          struct web_verdict *ret_verdict, struct err *err)
{
    char code[48] = "";
    if (text->data != NULL)
        http_answer_s3_code((const char *)text->data, text->length, code, sizeof code);
    bool may_pass;
    enum rc rc = judge(address, subject, head, code, &may_pass, err);
    *ret_verdict = (struct web_verdict){.may_pass = may_pass,
                                        .expired = address->is_s3 && rc == RC_ORIGIN &&
                                                   strcmp(code, "ExpiredToken") == 0};
    return rc;
}

enum rc web_verdict_end(const struct web_address *address, const struct transport_fetch *fetch,
                        const struct http_answer *head, const struct bytes *text,
                        struct web_verdict *ret_verdict, struct err *err)
{
    const struct web_verdict_subject subject = {
        .kind = "image", .name = fetch->path, .right = "read this image"};
    *ret_verdict = (struct web_verdict){.may_pass = false};
    if (head->status == 200 || head->status == 206 ||
        (head->status == 304 && web_verdict_may_be_unchanged(fetch)))
        return RC_OK;
    return judge_text(address, &subject, head, text, ret_verdict, err);
}

enum rc web_verdict_store(const struct web_address *address, const struct web_verdict_subject *subject,
                          const struct http_answer *head, const struct bytes *text,
                          struct web_verdict *ret_verdict, struct err *err)
{
    *ret_verdict = (struct web_verdict){.may_pass = false};
    return head->status / 100 == 2 ? RC_OK : judge_text(address, subject, head, text, ret_verdict, err);
}
