/* Change Discovery: /activity and its pages. */
#include "base/own.h"
#include "worker/iiif/media_range.h"
#include "worker/manifest/activity_document.h"
#include "worker/request_steps.h"

#include <string.h>

#define MOST_DIGITS 15u

static const char *media_type_of(const char *accept)
{
    int order = accept == NULL ? 0
                               : iiif_media_range_compare(accept, "application/ld+json", "application/json");
    return order >= 0 ? "application/ld+json;profile=\"http://iiif.io/api/discovery/1/context.json\""
                      : "application/json";
}

static void answer(struct request *request, struct bytes *body)
{
    struct http_representation representation = {
        .media_type = media_type_of(request_header(request, "Accept")),
        .cache_control = "no-cache", /* who asks wants to know what is new */
        .vary = request_vary(request, "Accept, Accept-Encoding"),
    };
    request_answer_text(request, &representation, body);
}

void request_answer_activity(struct request *request)
{
    const struct activity *activity = request->service->activity;
    OWN(bytes_done) struct bytes body = {0};
    struct err err;
    enum rc rc;
    if (activity == NULL)
        rc = err_set(
            &err, RC_NOT_FOUND,
            "changes are not written down here: that needs a cache directory, and activity_scan above 0");
    else if (request->wanted_activity == REQUEST_ACTIVITY_PAGE)
        rc = activity_document_page(activity_log_of(activity), request->base_url, request->activity_page,
                                    http_exchange_arena(request->exchange), &body, &err);
    else
        rc = activity_document_collection(activity_log_of(activity), request->base_url, &body, &err);
    if (rc != RC_OK)
        request_fail(request, &err);
    else
        answer(request, &body);
}

bool request_parse_activity(struct request *request, const char *target, size_t length)
{
    static const char root[] = "/activity", page[] = "/activity/page/";
    size_t root_bytes = sizeof root - 1, page_bytes = sizeof page - 1;
    uint64_t number = 0;
    if (length == root_bytes && memcmp(target, root, length) == 0) {
        request->wanted_activity = REQUEST_ACTIVITY;
    } else if (length > page_bytes && length <= page_bytes + MOST_DIGITS &&
               memcmp(target, page, page_bytes) == 0) {
        for (size_t i = page_bytes; i < length; i++) {
            if (target[i] < '0' || target[i] > '9')
                return false;
            number = number * 10 + (uint64_t)(target[i] - '0');
        }
        if (target[page_bytes] == '0' && length > page_bytes + 1)
            return false;
        request->wanted_activity = REQUEST_ACTIVITY_PAGE;
        request->activity_page = number;
    } else {
        return false;
    }
    request->iiif = (struct iiif_request){.version = IIIF_3, .what = IIIF_PRESENTATION};
    return true;
}
