/* The steps of a request, private to worker/request*.c: what one is while it is worked on, and what the files that share the work
 * call of each other. worker/README.md draws the way.
 *
 *     request.c           begins each request, and runs what needs a render thread
 *     request_route.c     from the target to the image that is meant: routes, retired identifiers, rules
 *     request_document.c  info.json and its like
 *     request_presentation.c  manifests and collections
 *     request_activity.c  the list of changes
 *     request_web.c       pages for people, and the status page
 *     request_image.c     images: plan, cache, stored tiles
 *     request_render.c    an image is rendered: memory, what goes wrong meanwhile, what it has cost
 *     request_reply.c     what all answers have in common
 *
 * Every request is answered once; whoever answers it gives its picture back, and must not touch it afterwards. */
#ifndef WORKER_REQUEST_STEPS_H
#define WORKER_REQUEST_STEPS_H

#include "worker/account.h"
#include "worker/answer.h"
#include "worker/flight.h"
#include "worker/http/compress.h"
#include "worker/iiif/identifier.h"
#include "worker/service.h"
#include "worker/web/embedded.h"

/* Everything about one request while it is worked on; lives in its exchange's arena. Begins zeroed. */
struct request {
    struct render_job job; /* first: the pool hands back its address */
    struct worker_service *service;
    struct http_exchange *exchange;
    const char *base_url;
    struct picture *picture; /* one reference, from the moment it is found until the reply */
    int presentation_version;
    /* Somebody looks at it in a browser: problems are pages, too, and a picture is answered with its page. */
    bool is_page;
    /* What needs a render thread of the pages. */
    enum { REQUEST_NOT_WEB, REQUEST_LISTING, REQUEST_ASSET } web;
    const struct web_file *asset;
    bool is_current; /* the address of the asset */
    bool wants_collection;
    enum { REQUEST_NO_ACTIVITY, REQUEST_ACTIVITY, REQUEST_ACTIVITY_PAGE } wanted_activity;
    uint64_t activity_page;
    bool condemned; /* it has killed its worker twice: it is only to be answered */
    bool planned;   /* plan and representation of the image hold */
    struct iiif_plan plan;
    char canonical[IIIF_CANONICAL_BYTES]; /* the plan's text */
    struct http_representation representation;
    struct worker_answer answer; /* of an image, while it is rendered */
    struct origin_waiter waiter; /* while parts of the source are fetched */
    uint32_t waits;
    int64_t since_us; /* when it began to wait for a render thread, or for parts of the source */
    int64_t deadline_ms;
    uint32_t retry_after_s; /* what a refusal says; 0: the usual */
    bool warms_up;          /* nobody looks at it: everybody else goes first */
    bool suspended;
    bool looked_up;  /* it is not cached, and is this request's to make: with `flight`, or for itself alone */
    bool tier_asked; /* the lower tier has been asked for it, or is not to be */
    struct tier_waiter tier_waiter;
    double spent_ms;              /* of CPU time, by its render */
    struct worker_flight *flight; /* who wait for the same */
    uint64_t looked_up_version;   /* of the source, while parts of it are fetched */
    struct worker_wanted wanted;  /* by the cache of derivatives */
    struct iiif_identifier identifier;
    struct iiif_request iiif;
};

/* ---- request.c ---- */

/* To a render thread, from the event thread. */
void request_continue(struct request *request);
/* False: the client has had its share, and is answered that. Event thread, before request_suspend(). */
bool request_is_admitted(struct request *request);
void request_suspend(struct request *request);
/* Lets the pool run the job again, or refuses it; the exchange is suspended already. */
void request_queue(struct request *request);
RC_MUST_USE enum rc request_submit(struct request *request, struct err *err);
/* On a render thread, which is free again afterwards: the request starts over when what is missing of the source `path` is here. */
void request_wait_for_source(struct request *request, const char *path);

/* Adds to the account of the request, which the caller holds, what a stage took. */
void request_spent(struct request *request, enum shm_tally_stage stage, int64_t us);

/* ---- request_route.c ---- */

void request_route(struct request *request);

/* ---- request_document.c ---- */

/* Any thread, with the picture. */
void request_answer_document(struct request *request);

/* ---- request_presentation.c ---- */

/* `path` is what follows "/presentation/{version}/". False: `err` says why it is no document. */
bool request_parse_presentation(struct request *request, int version, const char *path, size_t length,
                                struct err *err);
/* On a render thread. */
void request_answer_presentation(struct request *request);
/* On the event thread: a document that was made or confirmed lately. False: it needs a render thread. */
bool request_answer_presentation_early(struct request *request);

/* ---- request_web.c ---- */

/* On the event thread: the gallery, its listings, assets. False: the target is none of them. */
bool request_route_web(struct request *request, const char *target, size_t length);
/* On a render thread: what the above passed on. */
void request_answer_web(struct request *request);
/* Any thread, with the picture: its page. */
void request_answer_view(struct request *request);
/* Answers with a page that says what is wrong, where a page was asked for and a browser asks. False: it has not answered. */
bool request_fail_as_page(struct request *request, const struct err *err);

/* ---- request_activity.c ---- */

/* False: the target is something else. */
bool request_parse_activity(struct request *request, const char *target, size_t length);
/* On a render thread. */
void request_answer_activity(struct request *request);

/* ---- request_image.c ---- */

/* On a render thread, with the picture. */
void request_answer_image(struct request *request);
/* On the event thread: what an image request of an open picture needs no render thread for. False: it needs one. */
bool request_answer_image_early(struct request *request);

/* ---- request_render.c ---- */

/* On a render thread, with picture, plan and a begun answer, whose body it fills. RC_AWAY: parts of the source are not here. RC_BUSY: it took,
 * or would take, too long, or nobody waits for it any more. Other codes are render_picture()'s. */
RC_MUST_USE enum rc request_render(struct request *request, struct err *err);

/* ---- request_reply.c ---- */

/* The one place where an error is answered and, when it is ours or the source's fault, logged. */
void request_fail(struct request *request, const struct err *err);
/* The same where others may wait for what this request was to make. */
void request_fail_for_all(struct request *request, const struct err *err);
void request_out_of_memory(struct request *request);
/* `own` and the headers that the base URL may come from; NULL when memory is out. */
const char *request_vary(struct request *request, const char *own);
/* NULL where there is none. */
const char *request_header(struct request *request, const char *name);
/* The picture's URI; NULL when memory is out. */
const char *request_id(struct request *request);
/* Fills what info and image answers have in common; false when memory is out. */
bool request_represent(struct request *request, const char *what, struct http_representation *ret);
/* The body is in `coding`, and changes with `what` only: ETag and Content-Encoding. False when memory is out. */
bool request_tag(struct request *request, const char *what, enum http_coding coding,
                 struct http_representation *representation);
bool request_tag_by_hash(struct request *request, uint64_t hash, enum http_coding coding,
                         struct http_representation *representation);
/* Answers with a text that is made anew each time: compresses it, and its ETag is of what is in it, since nothing else says
 * when that changes. The rest of the representation is the caller's. */
void request_answer_text(struct request *request, struct http_representation *representation,
                         struct bytes *body);
/* Ends a request whose representation is known: 304 where the client has it. False: it needs the body. */
bool request_is_not_modified(struct request *request, const struct http_representation *representation);
void request_answer_body(struct request *request, const struct http_representation *representation,
                         struct bytes *body);
/* Monotonic: when something was last purged. */
int64_t request_purged_ms(const struct request *request);
/* The same for bytes that are elsewhere. */
void request_answer_content(struct request *request, const struct http_representation *representation,
                            const struct http_content *content);
/* `location` NULL: memory is out. */
void request_redirect(struct request *request, unsigned status, const char *location);

#endif
