#include "cache/web_address.h"

#include "base/own.h"
#include "cache/http_call.h"
#include "cache/s3_sign.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool put(char **slot, const struct bytes *text)
{
    free(*slot);
    *slot = strndup((const char *)text->data, text->length);
    return *slot != NULL;
}

__attribute__((format(printf, 2, 3))) static bool put_text(char **slot, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(*slot);
    int length = vasprintf(slot, format, args);
    va_end(args);
    if (length < 0)
        *slot = NULL;
    return length >= 0;
}

/* "host:port", without the port where it is the usual one. */
static bool put_host(struct web_address *address, const char *host, uint16_t port, bool secure)
{
    const char *left = strchr(host, ':') != NULL ? "[" : "", *right = left[0] != '\0' ? "]" : "";
    bool usual = port == (secure ? 443 : 80);
    char digits[8] = "";
    if (!usual)
        snprintf(digits, sizeof digits, ":%u", port);
    address->port = port;
    return put_text(&address->host_alone, "%s", host) &&
           put_text(&address->host, "%s%s%s%s", left, host, right, digits) &&
           put_text(&address->root, "%s://%s", secure ? "https" : "http", address->host);
}

/* "/a/b" of "a/b/": each part encoded anew, so "%20" in the setting stays what it is for http and is literal for S3. */
static enum rc put_prefix(struct web_address *address, const char *bucket, const char *prefix,
                          bool is_encoded, struct err *err)
{
    OWN(bytes_done) struct bytes text = {0};
    size_t length = strlen(prefix);
    while (length > 0 && prefix[length - 1] == '/')
        length--;
    OWN_FREE char *plain = strndup(prefix, length);
    if (plain == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the origin's address");
    enum rc rc = bytes_format(&text, err, "%s%s", bucket[0] != '\0' ? "/" : "", bucket);
    if (rc == RC_OK && length > 0)
        rc = bytes_append(&text, "/", 1, err);
    if (rc == RC_OK)
        rc = is_encoded ? bytes_append(&text, plain, length, err) : s3_encode(plain, true, &text, err);
    if (rc == RC_OK && !put(&address->prefix, &text))
        rc = err_set(err, RC_NO_MEMORY, "no memory for the origin's address");
    return rc;
}

static bool is_bucket(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) && name[i] != '-' &&
            name[i] != '.' && name[i] != '_')
            return false;
    return length >= 3 && length <= 63;
}

static const char *s3_region(const struct settings *settings)
{
    const char *region = getenv("AWS_REGION"), *older = getenv("AWS_DEFAULT_REGION");
    if (settings->s3_region[0] != '\0')
        return settings->s3_region;
    return region != NULL && region[0] != '\0' ? region
           : older != NULL && older[0] != '\0' ? older
                                               : "us-east-1";
}

static enum rc s3_address(struct web_address *address, const char *images, const struct settings *settings,
                          const char **ret_setting, struct err *err)
{
    const char *bucket = images + 5, *environment = getenv("AWS_ENDPOINT_URL_S3");
    size_t bucket_length = strcspn(bucket, "/");
    const char *prefix = bucket + bucket_length + (bucket[bucket_length] == '/');
    if (!is_bucket(bucket, bucket_length))
        return err_set(
            err, RC_BAD_REQUEST,
            "\"%.100s\" names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX, a bucket has 3 to "
            "63 small letters, digits, dots and hyphens",
            images);
    if (environment == NULL)
        environment = getenv("AWS_ENDPOINT_URL");
    OWN_FREE char *name = strndup(bucket, bucket_length);
    char endpoint[512], host[300];
    uint16_t port;
    bool secure;
    if (settings->s3_endpoint[0] != '\0' || environment != NULL)
        snprintf(endpoint, sizeof endpoint, "%s",
                 settings->s3_endpoint[0] != '\0' ? settings->s3_endpoint : environment);
    else
        snprintf(endpoint, sizeof endpoint, "https://s3.%s.amazonaws.com", s3_region(settings));
    const char *scheme = strstr(endpoint, "://"), *path = strchr(scheme != NULL ? scheme + 3 : endpoint, '/');
    if (!http_url_parts(endpoint, host, sizeof host, &port, &secure) || (path != NULL && path[1] != '\0')) {
        *ret_setting = "s3_endpoint";
        return err_set(err, RC_BAD_REQUEST,
                       "s3_endpoint is \"%.100s\": it must be http:// or https://, a host and perhaps a "
                       "port, without a path",
                       endpoint);
    }
    char full[400];
    snprintf(full, sizeof full, "%s%s%s", settings->s3_path_style ? "" : name,
             settings->s3_path_style ? "" : ".", host);
    if (name == NULL || !put_host(address, full, port, secure) ||
        !put_text(&address->region, "%s", s3_region(settings)))
        return err_set(err, RC_NO_MEMORY, "no memory for the origin's address");
    size_t prefix_length = strlen(prefix);
    while (prefix_length > 0 && prefix[prefix_length - 1] == '/')
        prefix_length--;
    if (!put_text(&address->bucket, "%s", name) ||
        !put_text(&address->below, "%.*s%s", (int)prefix_length, prefix, prefix_length > 0 ? "/" : ""))
        return err_set(err, RC_NO_MEMORY, "no memory for the origin's address");
    address->is_s3 = true;
    address->bucket_in_path = settings->s3_path_style;
    enum rc rc = put_prefix(address, settings->s3_path_style ? name : "", prefix, false, err);
    if (rc == RC_OK && !put_text(&address->name, "s3://%s/%s on %s", name, prefix, address->root))
        rc = err_set(err, RC_NO_MEMORY, "no memory for the origin's address");
    return rc;
}

static enum rc http_address(struct web_address *address, const char *images, struct err *err)
{
    char host[300];
    uint16_t port;
    bool secure;
    if (!http_url_parts(images, host, sizeof host, &port, &secure) || strpbrk(images, "?#") != NULL)
        return err_set(
            err, RC_BAD_REQUEST,
            "\"%.100s\" must be http:// or https://, a host and perhaps a port and a path, without spaces, "
            "a password, ? and #",
            images);
    const char *path = strchr(images + (secure ? 8 : 7), '/');
    if (!put_host(address, host, port, secure))
        return err_set(err, RC_NO_MEMORY, "no memory for the origin's address");
    enum rc rc = put_prefix(address, "", path != NULL ? path + 1 : "", true, err);
    if (rc == RC_OK && !put_text(&address->name, "%s%s", address->root, address->prefix))
        rc = err_set(err, RC_NO_MEMORY, "no memory for the origin's address");
    return rc;
}

enum rc web_address_of(struct web_address *address, const char *images, const struct settings *settings,
                       const char **ret_setting, struct err *err)
{
    const char *setting = NULL;
    *address = (struct web_address){.port = 0};
    enum rc rc = strncmp(images, "s3://", 5) == 0 ? s3_address(address, images, settings, &setting, err)
                                                  : http_address(address, images, err);
    if (rc == RC_OK && !put_text(&address->place, "%s", images))
        rc = err_set(err, RC_NO_MEMORY, "no memory for the origin's address");
    if (ret_setting != NULL)
        *ret_setting = setting;
    if (rc != RC_OK)
        web_address_done(address);
    return rc;
}

void web_address_done(struct web_address *address)
{
    free(address->name);
    free(address->place);
    free(address->root);
    free(address->host);
    free(address->host_alone);
    free(address->prefix);
    free(address->bucket);
    free(address->below);
    free(address->region);
    *address = (struct web_address){.port = 0};
}

enum rc web_address_path(const struct web_address *address, const char *path, struct bytes *out,
                         struct err *err)
{
    enum rc rc = bytes_format(out, err, "%s/", address->prefix);
    if (rc == RC_OK)
        rc = s3_encode(path, true, out, err);
    if (rc == RC_OK)
        rc = bytes_append(out, "", 1, err);
    return rc;
}
