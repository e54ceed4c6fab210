/* The pages that people see: the gallery, its listings as JSON, the page of a picture, and what they are made of. */
#include "base/own.h"
#include "worker/account.h"
#include "worker/http/status.h"
#include "worker/iiif/media_range.h"
#include "worker/iiif/percent.h"
#include "worker/request_steps.h"
#include "worker/web/assets.h"
#include "worker/web/listing.h"
#include "worker/web/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRETCH      60u /* entries of a listing where nobody says how many */
#define SEARCH_BYTES 256u

static const char html[] = "text/html; charset=utf-8";

/* ---- what all of them say ---- */

static void add_header(struct http_representation *representation, const char *name, const char *value)
{
    representation->header[representation->header_count++] = (struct http_header){name, value};
}

/* A page or a listing: asked for each time. */
static void answer_text(struct request *request, const char *media_type, struct bytes *body)
{
    struct http_representation representation = {
        .media_type = media_type,
        .cache_control = "no-cache",
        .vary = request_vary(request, "Accept-Encoding"),
    };
    add_header(&representation, "X-Content-Type-Options", "nosniff");
    if (media_type == html) {
        add_header(&representation, "Content-Security-Policy", WEB_CONTENT_POLICY);
        add_header(&representation, "Referrer-Policy", "same-origin");
    }
    request_answer_text(request, &representation, body);
}

static void answer_page(struct request *request, const char *name)
{
    OWN(bytes_done) struct bytes body = {0};
    struct err err;
    if (web_page_write(name, request->base_url, NULL, 0, &body, &err) != RC_OK)
        request_fail(request, &err);
    else
        answer_text(request, html, &body);
}

void request_answer_view(struct request *request)
{
    answer_page(request, "view.html");
}

/* ---- problems, for people ---- */

static const char *headline_of(unsigned status)
{
    switch (status) {
    case 404:
        return "Not here";
    case 410:
        return "Withdrawn";
    case 429:
    case 503:
    case 504:
        return "Not just now";
    default:
        return status < 500 ? "Not understood" : "It went wrong";
    }
}

/* Whoever would rather read a page than a line of text: a browser whose address bar led here. */
static bool wants_page(struct request *request)
{
    const char *accept = request_header(request, "Accept");
    return accept != NULL && strstr(accept, "text/html") != NULL &&
           iiif_media_range_compare(accept, "text/html", "text/plain") > 0;
}

bool request_fail_as_page(struct request *request, const struct err *err)
{
    unsigned status = http_status_of(err->rc);
    OWN(bytes_done) struct bytes body = {0};
    char number[12], seconds[12];
    const char *sentence = arena_format(
        http_exchange_arena(request->exchange), "%c%s.",
        err->message[0] >= 'a' && err->message[0] <= 'z' ? err->message[0] - 'a' + 'A' : err->message[0],
        err->message[0] == '\0' ? "" : err->message + 1);
    if (!request->is_page || !wants_page(request) || sentence == NULL)
        return false;
    snprintf(number, sizeof number, "%u", status);
    snprintf(seconds, sizeof seconds, "%" PRIu32, request->retry_after_s > 0 ? request->retry_after_s : 1);
    const struct web_blank blanks[] = {
        {"status", number}, {"headline", headline_of(status)}, {"sentence", sentence}};
    if (web_page_write("problem.html", request->base_url, blanks, 3, &body, NULL) != RC_OK ||
        bytes_append(&body, "", 1, NULL) != RC_OK)
        return false;
    const struct http_header headers[] = {{"Cache-Control", "no-store"},
                                          {"Content-Security-Policy", WEB_CONTENT_POLICY},
                                          {"Vary", "Accept"},
                                          {"Retry-After", status == 503 || status == 429 ? seconds : ""}};
    http_reply_text(request->exchange, status, html, (const char *)body.data, headers, 4);
    return true;
}

/* ---- assets ---- */

/* On the event thread with `may_work` false, which passes on what takes a moment. */
static void answer_asset(struct request *request, bool may_work)
{
    enum http_coding wanted = http_compress_choose(request_header(request, "Accept-Encoding"));
    struct web_asset_body body;
    if (!web_asset_body(request->asset, wanted, may_work, &body)) {
        request_continue(request);
        return;
    }
    struct http_representation representation = {
        .media_type = request->asset->media_type,
        .cache_control = request->is_current ? "public, max-age=31536000, immutable" : "no-cache",
        .vary = "Accept-Encoding",
    };
    add_header(&representation, "X-Content-Type-Options", "nosniff");
    if (!request_tag(request, web_assets_version(), body.coding, &representation)) {
        request_out_of_memory(request);
        return;
    }
    if (request_is_not_modified(request, &representation))
        return;
    const struct http_content content = {.length = body.length, .data = body.data, .fd = -1};
    http_reply_content(request->exchange, &representation, &content);
}

/* ---- listings ---- */

/* The value of "name=value" in the query, decoded, in the arena; NULL where it is not there. RC_BAD_REQUEST. */
static enum rc find_value(struct request *request, const char *name, size_t most, const char **ret_value,
                          struct err *err)
{
    const char *query = strchr(http_exchange_target(request->exchange), '?');
    size_t name_length = strlen(name), decoded = 0;
    *ret_value = NULL;
    for (const char *pair = query; pair != NULL && *pair != '\0' && *pair != '#';
         pair += strcspn(pair, "&")) {
        pair++;
        size_t length = strcspn(pair, "&");
        if (length <= name_length || memcmp(pair, name, name_length) != 0 || pair[name_length] != '=')
            continue;
        char *value = arena_alloc(http_exchange_arena(request->exchange), most + 1);
        if (value == NULL)
            return err_set(err, RC_NO_MEMORY, "the server is out of memory, please try again");
        enum rc rc = iiif_percent_decode(name, pair + name_length + 1, length - name_length - 1, value, most,
                                         &decoded, RC_BAD_REQUEST, err);
        if (rc == RC_OK)
            *ret_value = value;
        return rc;
    }
    return RC_OK;
}

static enum rc find_number(struct request *request, const char *name, size_t most, size_t *number,
                           struct err *err)
{
    const char *text = NULL;
    enum rc rc = find_value(request, name, 20, &text, err);
    if (rc != RC_OK || text == NULL)
        return rc;
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0')
        return err_set(err, RC_BAD_REQUEST, "%s is no number", name);
    *number = value > most ? most : (size_t)value;
    return RC_OK;
}

static enum rc read_wanted(struct request *request, struct web_wanted *wanted, struct err *err)
{
    const char *folder = NULL;
    *wanted = (struct web_wanted){.count = STRETCH};
    enum rc rc = find_value(request, "folder", IIIF_MAX_IDENTIFIER_BYTES, &folder, err);
    wanted->folder = folder != NULL ? folder : "";
    if (rc == RC_OK)
        rc = find_value(request, "search", SEARCH_BYTES, &wanted->search, err);
    if (rc == RC_OK)
        rc = find_value(request, "near", IIIF_MAX_IDENTIFIER_BYTES, &wanted->near, err);
    if (rc == RC_OK)
        rc = find_number(request, "from", SIZE_MAX / 2, &wanted->from, err);
    if (rc == RC_OK)
        rc = find_number(request, "count", WEB_MOST_ENTRIES, &wanted->count, err);
    return rc;
}

static void answer_listing(struct request *request)
{
    struct worker_service *service = request->service;
    const struct web_gallery gallery = {.folders = service->folders,
                                        .roll = service->roll,
                                        .pictures = service->pictures,
                                        .limits = &service->limits};
    OWN(bytes_done) struct bytes body = {0};
    struct web_wanted wanted;
    struct err err;
    enum rc rc = read_wanted(request, &wanted, &err);
    if (rc == RC_OK)
        rc = web_listing_write(&gallery, &wanted, http_exchange_arena(request->exchange), &body, &err);
    const char *away = rc != RC_AWAY
                           ? NULL
                           : arena_format(http_exchange_arena(request->exchange), "%s/", wanted.folder);
    if (away != NULL)
        request_wait_for_source(request, away);
    else if (rc != RC_OK)
        request_fail(request, &err);
    else
        answer_text(request, "application/json", &body);
}

/* ---- the way to them ---- */

void request_answer_web(struct request *request)
{
    if (request->web == REQUEST_ASSET)
        answer_asset(request, true);
    else
        answer_listing(request);
}

static bool is(const char *target, size_t length, const char *path)
{
    return strlen(path) == length && memcmp(target, path, length) == 0;
}

/* As request_route_web(), which counts what is found here. */
static bool route(struct request *request, const char *target, size_t length)
{
    static const char assets[] = "/assets/", favicon[] = "icon.svg";
    if (is(target, length, "/")) {
        request->is_page = true;
        answer_page(request, "gallery.html");
    } else if (is(target, length, "/gallery.json")) {
        request->web = REQUEST_LISTING;
        request_continue(request);
    } else if (is(target, length, "/robots.txt")) {
        static const struct http_header header = {"Cache-Control", "public, max-age=3600"};
        http_reply_text(request->exchange, 200, "text/plain; charset=utf-8", request->service->robots,
                        &header, 1);
    } else if (is(target, length, "/favicon.ico")) {
        request->web = REQUEST_ASSET;
        request->asset = web_file_find(favicon, strlen(favicon));
        answer_asset(request, false);
    } else if (length > strlen(assets) && memcmp(target, assets, strlen(assets)) == 0) {
        request->web = REQUEST_ASSET;
        request->asset = web_assets_find(target + strlen(assets), length - strlen(assets),
                                         &request->is_current);
        if (request->asset == NULL)
            return false;
        answer_asset(request, false);
    } else {
        return false;
    }
    return true;
}

bool request_route_web(struct request *request, const char *target, size_t length)
{
    struct http_account *account = http_exchange_account(request->exchange);
    uint8_t class = account->class, protocol = account->protocol;
    worker_account_is(request->exchange, SHM_TALLY_PAGE,
                      SHM_TALLY_WEB); /* before it may be on another thread */
    if (route(request, target, length))
        return true;
    account->class = class;
    account->protocol = protocol;
    return false;
}

/* ---- the status page ---- */

static void answer_admin_asset(struct http_exchange *exchange, const struct web_file *asset, bool is_current)
{
    const struct http_representation representation = {
        .etag = arena_format(http_exchange_arena(exchange), "\"%s\"", web_assets_version()),
        .media_type = asset->media_type,
        .cache_control = is_current ? "public, max-age=31536000, immutable" : "no-cache",
        .header_count = 1,
        .header = {{"X-Content-Type-Options", "nosniff"}}};
    const struct http_content content = {
        .length = (size_t)(asset->end - asset->data), .data = asset->data, .fd = -1};
    if (http_reply_is_not_modified(exchange, &representation))
        http_reply_not_modified(exchange, &representation);
    else
        http_reply_content(exchange, &representation, &content);
}

bool worker_admin_page(struct http_exchange *exchange)
{
    static const char assets[] = "/assets/";
    const char *target = http_exchange_target(exchange);
    size_t length = strcspn(target, "?#");
    bool is_current = false;
    const struct web_file *asset = length > strlen(assets) && memcmp(target, assets, strlen(assets)) == 0
                                       ? web_assets_find(target + strlen(assets), length - strlen(assets),
                                                         &is_current)
                                       : NULL;
    if (asset != NULL) {
        answer_admin_asset(exchange, asset, is_current);
        return true;
    }
    if (!is(target, length, "/"))
        return false;
    OWN(bytes_done) struct bytes body = {0};
    if (web_page_write("status.html", "", NULL, 0, &body, NULL) != RC_OK ||
        bytes_append(&body, "", 1, NULL) != RC_OK)
        return false;
    const struct http_header headers[] = {
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy", WEB_CONTENT_POLICY "; frame-ancestors 'none'"}};
    http_reply_text(exchange, 200, html, (const char *)body.data, headers, 2);
    return true;
}
