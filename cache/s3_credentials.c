#include "cache/s3_credentials.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "cache/http_call.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#define METADATA_URL    "http://169.254.169.254"
#define METADATA_MS     2000
#define ANSWER_BYTES    16384u
#define RENEW_EARLIER_S 300
#define AGAIN_S         1 /* after a failure, then later and later */
#define AGAIN_MOST_S    16
#define SOONEST_S       5 /* after a success */

struct s3_keys {
    struct s3_credentials credentials;
    bool known, asks, stopping, refresh;
    char url[256]; /* of the metadata service */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool running;
};

/* ---- files ---- */

static bool take_value(const char *line, size_t length, const char *name, char *ret_value, size_t capacity)
{
    size_t name_length = strlen(name), at = name_length;
    if (length < name_length || strncmp(line, name, name_length) != 0)
        return false;
    while (at < length && (line[at] == ' ' || line[at] == '\t'))
        at++;
    if (at == length || line[at] != '=')
        return false;
    at++;
    while (at < length && isspace((unsigned char)line[at]))
        at++;
    while (length > at && isspace((unsigned char)line[length - 1]))
        length--;
    return snprintf(ret_value, capacity, "%.*s", (int)(length - at), line + at) < (int)capacity;
}

bool s3_credentials_from_file(const char *text, const char *profile, struct s3_credentials *ret_credentials)
{
    struct s3_credentials found = {.expires = 0};
    bool inside = false;
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (line[0] == '[') {
            size_t name = strcspn(line, "]\n") - 1;
            inside = name == strlen(profile) && strncmp(line + 1, profile, name) == 0;
        } else if (inside) {
            (void)(take_value(line, length, "aws_access_key_id", found.access_key, sizeof found.access_key) ||
                   take_value(line, length, "aws_secret_access_key", found.secret_key,
                              sizeof found.secret_key) ||
                   take_value(line, length, "aws_session_token", found.session_token,
                              sizeof found.session_token));
        }
        line += length + (line[length] == '\n');
    }
    if (found.access_key[0] == '\0' || found.secret_key[0] == '\0')
        return false;
    *ret_credentials = found;
    return true;
}

static bool read_file(const char *profile, struct s3_credentials *ret_credentials)
{
    char path[512], text[65536];
    const char *named = getenv("AWS_SHARED_CREDENTIALS_FILE"), *home = getenv("HOME");
    snprintf(path, sizeof path, "%s%s",
             named != NULL  ? named
             : home != NULL ? home
                            : "",
             named != NULL ? "" : "/.aws/credentials");
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    return s3_credentials_from_file(text, profile, ret_credentials);
}

/* ---- the metadata service ---- */

bool s3_credentials_from_json(const char *text, size_t length, struct s3_credentials *ret_credentials)
{
    struct s3_credentials found = {.expires = 0};
    const char *access = NULL, *secret = NULL, *token = NULL, *expires = "";
    json_t *json = json_loadb(text, length, 0, NULL);
    bool good = json != NULL &&
                json_unpack(json, "{s:s, s:s, s:s, s?s}", "AccessKeyId", &access, "SecretAccessKey", &secret,
                            "Token", &token, "Expiration", &expires) == 0;
    struct tm parts = {0};
    if (good) {
        good = snprintf(found.access_key, sizeof found.access_key, "%s", access) <
                   (int)sizeof found.access_key &&
               snprintf(found.secret_key, sizeof found.secret_key, "%s", secret) <
                   (int)sizeof found.secret_key &&
               snprintf(found.session_token, sizeof found.session_token, "%s", token) <
                   (int)sizeof found.session_token &&
               access[0] != '\0';
        if (strptime(expires, "%Y-%m-%dT%H:%M:%SZ", &parts) != NULL)
            found.expires = timegm(&parts);
    }
    json_decref(json);
    if (good)
        *ret_credentials = found;
    return good;
}

struct metadata_call {
    struct http_call call; /* first */
    struct bytes answer;
};

static enum rc take_answer(struct http_call *call, const void *data, size_t length, struct err *err)
{
    struct metadata_call *metadata = (struct metadata_call *)call;
    if (metadata->answer.length + length > ANSWER_BYTES)
        return err_set(err, RC_ORIGIN, "the instance metadata service says too much");
    return bytes_append(&metadata->answer, data, length, err);
}

static enum rc ask(const struct s3_keys *keys, const char *method, const char *path, const char *header,
                   struct bytes *answer, struct err *err)
{
    char url[1024];
    snprintf(url, sizeof url, "%s%s", keys->url, path);
    struct metadata_call metadata = {.call = {.method = method,
                                              .url = url,
                                              .whom = "the instance metadata service",
                                              .body = strcmp(method, "PUT") == 0 ? "" : NULL,
                                              .stall_ms = METADATA_MS,
                                              .body_came = take_answer}};
    enum rc rc = bytes_append(&metadata.call.headers, header, strlen(header) + 1, err);
    if (rc == RC_OK)
        rc = http_call_now(&metadata.call, err);
    if (rc == RC_OK && metadata.call.answer.status != 200)
        rc = err_set(err, metadata.call.answer.status == 401 ? RC_FORBIDDEN : RC_ORIGIN,
                     "the instance metadata service answers %u", metadata.call.answer.status);
    if (rc == RC_OK)
        rc = bytes_append(&metadata.answer, "", 1, err);
    http_call_done(&metadata.call);
    if (rc == RC_OK)
        *answer = metadata.answer;
    else
        bytes_done(&metadata.answer);
    return rc;
}

/* RC_FORBIDDEN: the token was not good, or is not any more. */
static enum rc ask_with_token(const struct s3_keys *keys, struct s3_credentials *ret_credentials,
                              struct err *err)
{
    static const char roles[] = "/latest/meta-data/iam/security-credentials/";
    OWN(bytes_done) struct bytes token = {0};
    OWN(bytes_done) struct bytes role = {0};
    OWN(bytes_done) struct bytes json = {0};
    char header[2200], path[512];
    enum rc rc = ask(keys, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600", &token,
                     err);
    if (rc != RC_OK)
        return rc;
    if (snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %s", (const char *)token.data) >=
        (int)sizeof header)
        return err_set(err, RC_ORIGIN, "the instance metadata service gives out a token that is too long");
    rc = ask(keys, "GET", roles, header, &role, err);
    if (rc != RC_OK)
        return rc;
    snprintf(path, sizeof path, "%s%.*s", roles, (int)strcspn((const char *)role.data, "\r\n"),
             (const char *)role.data);
    rc = ask(keys, "GET", path, header, &json, err);
    if (rc == RC_OK && !s3_credentials_from_json((const char *)json.data, json.length - 1, ret_credentials))
        rc = err_set(err, RC_ORIGIN, "the instance metadata service gives out no credentials");
    return rc;
}

static enum rc ask_metadata(const struct s3_keys *keys, struct s3_credentials *ret_credentials,
                            struct err *err)
{
    enum rc rc = ask_with_token(keys, ret_credentials, err);
    return rc == RC_FORBIDDEN ? ask_with_token(keys, ret_credentials, err) : rc;
}

static void *keys_thread(void *argument)
{
    struct s3_keys *keys = argument;
    pthread_setname_np(pthread_self(), "credentials");
    time_t again_s = AGAIN_S;
    pthread_mutex_lock(&keys->mutex);
    while (!keys->stopping) {
        struct s3_credentials fresh = {.expires = 0};
        struct err err;
        keys->refresh = false;
        pthread_mutex_unlock(&keys->mutex);
        enum rc rc = ask_metadata(keys, &fresh, &err);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        time_t now = until.tv_sec;
        until.tv_sec += rc == RC_OK ? SOONEST_S : again_s;
        again_s = rc == RC_OK ? AGAIN_S : again_s < AGAIN_MOST_S ? again_s * 2 : AGAIN_MOST_S;
        if (rc == RC_OK && fresh.expires - RENEW_EARLIER_S > until.tv_sec)
            until.tv_sec = fresh.expires - RENEW_EARLIER_S;
        pthread_mutex_lock(&keys->mutex);
        if (rc == RC_OK) {
            keys->credentials = fresh;
            keys->known = true;
        } else {
            log_warning("no credentials for the S3 store: %s", err.message);
            keys->known = keys->known && keys->credentials.expires > now;
        }
        while (!keys->stopping && !keys->refresh &&
               pthread_cond_timedwait(&keys->changed, &keys->mutex, &until) != ETIMEDOUT)
            continue;
    }
    pthread_mutex_unlock(&keys->mutex);
    return NULL;
}

/* ---- all of it ---- */

static bool set_pair(struct s3_credentials *credentials, const char *access, const char *secret,
                     const char *token)
{
    return snprintf(credentials->access_key, sizeof credentials->access_key, "%s", access) <
               (int)sizeof credentials->access_key &&
           snprintf(credentials->secret_key, sizeof credentials->secret_key, "%s", secret) <
               (int)sizeof credentials->secret_key &&
           snprintf(credentials->session_token, sizeof credentials->session_token, "%s",
                    token != NULL ? token : "") < (int)sizeof credentials->session_token;
}

static enum rc find_keys(const struct settings *settings, struct s3_keys *keys, struct err *err)
{
    const char *access = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
    const char *profile = getenv("AWS_PROFILE"), *metadata = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
               *disabled = getenv("AWS_EC2_METADATA_DISABLED");
    bool configured = settings->s3_access_key[0] != '\0' || settings->s3_secret_key[0] != '\0';
    if (configured ? settings->s3_access_key[0] == '\0' || settings->s3_secret_key[0] == '\0'
                   : (access == NULL) != (secret == NULL))
        return err_set(err, RC_BAD_REQUEST,
                       "the S3 credentials of the %s are half a pair: access key and secret key "
                       "belong together",
                       configured ? "configuration" : "environment");
    keys->known = true;
    if (strcmp(settings->s3_credentials, "none") == 0)
        return RC_OK;
    if (configured || access != NULL) {
        bool fits = set_pair(&keys->credentials, configured ? settings->s3_access_key : access,
                             configured ? settings->s3_secret_key : secret,
                             configured ? settings->s3_session_token : getenv("AWS_SESSION_TOKEN"));
        return fits ? RC_OK : err_set(err, RC_BAD_REQUEST, "the S3 credentials are longer than any");
    }
    if (read_file(profile != NULL ? profile : "default", &keys->credentials))
        return RC_OK;
    if (profile != NULL)
        return err_set(err, RC_BAD_REQUEST,
                       "AWS_PROFILE is \"%.60s\", but the shared credentials file has no keys for it",
                       profile);
    keys->known = false;
    keys->asks = disabled == NULL || strcasecmp(disabled, "true") != 0;
    snprintf(keys->url, sizeof keys->url, "%s",
             metadata != NULL && metadata[0] != '\0' ? metadata : METADATA_URL);
    for (size_t length = strlen(keys->url); length > 0 && keys->url[length - 1] == '/'; length--)
        keys->url[length - 1] = '\0';
    if (!keys->asks)
        return err_set(
            err, RC_BAD_REQUEST,
            "there are no credentials for the S3 store, neither in the configuration nor in the "
            "environment nor in a shared credentials file (s3_credentials = \"none\" goes without)");
    return RC_OK;
}

enum rc s3_keys_open(const struct settings *settings, struct s3_keys **ret_keys, struct err *err)
{
    struct s3_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for credentials");
    pthread_mutex_init(&keys->mutex, NULL);
    pthread_cond_init(&keys->changed, NULL);
    enum rc rc = find_keys(settings, keys, err);
    if (rc != RC_OK)
        s3_keys_close(&keys);
    else
        *ret_keys = keys;
    return rc;
}

enum rc s3_keys_start(struct s3_keys *keys, struct err *err)
{
    int failed = keys->asks ? pthread_create(&keys->thread, NULL, keys_thread, keys) : 0;
    if (failed != 0)
        return err_set_errno(err, RC_IO, failed, "the thread that asks for credentials cannot start");
    keys->running = keys->asks;
    return RC_OK;
}

void s3_keys_close(struct s3_keys **slot)
{
    struct s3_keys *keys = TAKE_PTR(*slot);
    if (keys == NULL)
        return;
    pthread_mutex_lock(&keys->mutex);
    keys->stopping = true;
    pthread_cond_signal(&keys->changed);
    pthread_mutex_unlock(&keys->mutex);
    if (keys->running)
        pthread_join(keys->thread, NULL);
    pthread_cond_destroy(&keys->changed);
    pthread_mutex_destroy(&keys->mutex);
    explicit_bzero(keys, sizeof *keys);
    free(keys);
}

uint16_t s3_keys_port(const struct s3_keys *keys)
{
    char host[256];
    uint16_t port = 0;
    bool secure;
    return keys->asks && http_url_parts(keys->url, host, sizeof host, &port, &secure) ? port : 0;
}

enum rc s3_keys_copy(struct s3_keys *keys, struct s3_credentials *ret_credentials, struct err *err)
{
    enum rc rc = RC_OK;
    pthread_mutex_lock(&keys->mutex);
    if (keys->known)
        *ret_credentials = keys->credentials;
    else
        rc = err_set(err, RC_BUSY, "there are no credentials for the S3 store yet");
    pthread_mutex_unlock(&keys->mutex);
    return rc;
}

void s3_keys_refresh(struct s3_keys *keys)
{
    pthread_mutex_lock(&keys->mutex);
    keys->refresh = true;
    pthread_cond_signal(&keys->changed);
    pthread_mutex_unlock(&keys->mutex);
}
