#include "base/own.h"
#include "worker/iiif/info_json.h"
#include "worker/iiif/zoom.h"
#include "worker/request_steps.h"

/* What a picture is in one of the other protocols. */
static void answer_descriptor(struct request *request)
{
    struct http_representation representation;
    struct err err;
    OWN(bytes_done) struct bytes body = {0};
    const char *what = request->iiif.zoom == IIIF_ZOOM_DEEPZOOM ? "deepzoom" : "zoomify";
    if (!request_represent(request, what, &representation)) {
        request_out_of_memory(request);
        return;
    }
    representation.media_type = "application/xml";
    if (request_is_not_modified(request, &representation))
        return;
    enum rc rc = iiif_zoom_descriptor(request->iiif.zoom, &request->picture->pyramid, &body, &err);
    if (rc != RC_OK)
        request_fail(request, &err);
    else
        request_answer_body(request, &representation, &body);
}

static void answer_info(struct request *request)
{
    struct http_representation representation;
    const char *id = request_id(request);
    const char *media_type = iiif_info_media_type(request->iiif.version, request_header(request, "Accept"));
    const char *what = arena_format(http_exchange_arena(request->exchange), "%s %s", id, media_type);
    if (id == NULL || what == NULL || !request_represent(request, what, &representation)) {
        request_out_of_memory(request);
        return;
    }
    representation.media_type = media_type;
    representation.vary = request_vary(request, "Accept");
    if (request_is_not_modified(request, &representation))
        return;
    struct err err;
    OWN(bytes_done) struct bytes body = {0};
    enum rc rc = iiif_info_json(request->iiif.version, id, &request->picture->pyramid,
                                &request->service->limits, &body, &err);
    if (rc != RC_OK)
        request_fail(request, &err);
    else
        request_answer_body(request, &representation, &body);
}

void request_answer_document(struct request *request)
{
    if (request->is_page)
        request_answer_view(request);
    else if (request->iiif.what == IIIF_ZOOM_DESCRIPTOR)
        answer_descriptor(request);
    else
        answer_info(request);
}
