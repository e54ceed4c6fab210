#include "worker/web/assets.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MOST_FILES 32u
#define CODINGS    3u

static struct {
    pthread_once_t once;
    pthread_mutex_t mutex;
    char version[WEB_VERSION_DIGITS + 1];
    struct {
        bool is_made;
        struct web_asset_body body;
    } made[MOST_FILES][CODINGS];
} shelf = {.once = PTHREAD_ONCE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER};

static void make_version(void)
{
    uint64_t hash = BYTES_HASH_START;
    for (size_t i = 0; i < web_file_count; i++)
        hash = bytes_hash(hash, web_files[i].data, (size_t)(web_files[i].end - web_files[i].data));
    snprintf(shelf.version, sizeof shelf.version, "%016" PRIx64, hash);
}

const char *web_assets_version(void)
{
    pthread_once(&shelf.once, make_version);
    return shelf.version;
}

const struct web_file *web_assets_find(const char *path, size_t length, bool *ret_is_current)
{
    const char *slash = memchr(path, '/', length);
    if (slash == NULL)
        return NULL;
    size_t name_length = length - (size_t)(slash + 1 - path);
    const struct web_file *file = web_file_find(slash + 1, name_length);
    if (file == NULL || file->media_type == NULL)
        return NULL;
    *ret_is_current = slash - path == WEB_VERSION_DIGITS &&
                      memcmp(path, web_assets_version(), WEB_VERSION_DIGITS) == 0;
    return file;
}

/* Where memory is out the asset goes as it is. */
static struct web_asset_body make(const struct web_file *asset, enum http_coding wanted)
{
    struct web_asset_body made = {
        .coding = HTTP_IDENTITY, .data = asset->data, .length = (size_t)(asset->end - asset->data)};
    struct bytes body = {0};
    enum http_coding coding = HTTP_IDENTITY;
    if (bytes_append(&body, made.data, made.length, NULL) != RC_OK ||
        http_compress_body(wanted, &body, &coding, NULL) != RC_OK || coding == HTTP_IDENTITY) {
        bytes_done(&body);
        return made;
    }
    return (struct web_asset_body){.coding = coding, .data = body.data, .length = body.length};
}

bool web_asset_body(const struct web_file *asset, enum http_coding wanted, bool may_work,
                    struct web_asset_body *ret_body)
{
    size_t place = (size_t)(asset - web_files);
    assert(place < MOST_FILES && (unsigned)wanted < CODINGS);
    bool is_made;
    if (wanted == HTTP_IDENTITY) {
        *ret_body = (struct web_asset_body){
            .coding = HTTP_IDENTITY, .data = asset->data, .length = (size_t)(asset->end - asset->data)};
        return true;
    }
    if (!may_work && pthread_mutex_trylock(&shelf.mutex) != 0)
        return false; /* somebody compresses */
    if (may_work)
        pthread_mutex_lock(&shelf.mutex);
    is_made = shelf.made[place][wanted].is_made;
    if (!is_made && may_work) {
        shelf.made[place][wanted].body = make(asset, wanted);
        is_made = shelf.made[place][wanted].is_made = true;
    }
    if (is_made)
        *ret_body = shelf.made[place][wanted].body;
    pthread_mutex_unlock(&shelf.mutex);
    return is_made;
}
