/* The text of a request, and everything that follows from it: identifier, plan, canonical form, info.json.
 *
 * Input: version ('2', anything else is 3), picture, limits (a byte each, counted from 'a'), then the path
 * after "/iiif/{version}/". Whatever is accepted has to keep the promises of the headers. */
#include "worker/iiif/identifier.h"
#include "worker/iiif/info_json.h"
#include "worker/iiif/plan.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct image_pyramid pictures[] = {
    {.level_count = 3,
     .page_count = 1,
     .orientation = 1,
     .has_colour = true,
     .level = {{{1001, 777}, {256, 256}, 1}, {{500, 388}, {256, 256}, 2}, {{250, 194}, {256, 256}, 4}}},
    {.level_count = 3,
     .page_count = 3,
     .orientation = 6,
     .has_alpha = true,
     .level = {{{777, 1001}, {64, 128}, 1}, {{389, 501}, {64, 128}, 2}, {{98, 126}, {0, 0}, 8}}},
    {.level_count = 1, .page_count = 1, .orientation = 1, .level = {{{1, 1}, {0, 0}, 1}}},
    {.level_count = 2,
     .page_count = 1,
     .orientation = 3,
     .has_colour = true,
     .level = {{{4294967295, 4294967291}, {512, 512}, 1}, {{65536, 65536}, {512, 512}, 65536}}},
    {.level_count = 2,
     .page_count = 1,
     .orientation = 1,
     .has_colour = true,
     .level = {{{1000, 800}, {256, 256}, 1}, {{625, 320}, {256, 256}, 2}}},
    {.level_count = 1,
     .page_count = 1,
     .orientation = 1,
     .has_colour = true,
     .level = {{{100000, 1}, {0, 0}, 1}}},
};

static const struct iiif_limits bounds[] = {
    {10000, 10000, 100000000, true, true},
    {10000, 10000, 100000000, false, true},
    {200, 300, 10007, true, true},
    {UINT32_MAX, UINT32_MAX, UINT64_MAX, true, true},
    {1, 1, 1, true, true},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void check_sentence(const struct err *err, enum rc rc)
{
    assert(err->rc == rc && err->message[0] != '\0');
    for (const char *c = err->message; *c != '\0'; c++)
        assert(*c >= 0x20 && *c < 0x7f);
}

static void check_window(const struct iiif_plan *plan, const struct image_pyramid *pyramid)
{
    assert(plan->level < pyramid->level_count);
    struct image_size level = image_size_upright(pyramid->level[plan->level].size, pyramid->orientation);
    double answer_x = plan->window_width_px / plan->size.width_px,
           answer_y = plan->window_height_px / plan->size.height_px;
    assert(plan->window_x_px >= 0 && plan->window_y_px >= 0 && answer_x > 0 && answer_y > 0);
    assert(plan->window_x_px <= level.width_px && plan->window_y_px <= level.height_px);
    if (plan->exact) {
        assert(plan->window_width_px == plan->size.width_px &&
               plan->window_height_px == plan->size.height_px);
        assert(plan->window_x_px == (uint32_t)plan->window_x_px &&
               plan->window_y_px == (uint32_t)plan->window_y_px);
        assert(plan->window_x_px + plan->window_width_px <= (double)level.width_px + 1);
        assert(plan->window_y_px + plan->window_height_px <= (double)level.height_px + 1);
    } else {
        assert(plan->window_x_px + plan->window_width_px < level.width_px + answer_x + 1.001);
        assert(plan->window_y_px + plan->window_height_px < level.height_px + answer_y + 1.001);
    }
}

static void check_plan(const struct iiif_plan *plan, const struct image_pyramid *pyramid,
                       const struct iiif_limits *limits)
{
    assert(plan->region.width_px >= 1 && plan->region.height_px >= 1);
    assert(plan->region.x_px < plan->full.width_px &&
           plan->region.width_px <= plan->full.width_px - plan->region.x_px);
    assert(plan->region.y_px < plan->full.height_px &&
           plan->region.height_px <= plan->full.height_px - plan->region.y_px);
    assert(plan->size.width_px >= 1 && plan->size.height_px >= 1 && iiif_size_within(plan->size, limits));
    bool larger = plan->size.width_px > plan->region.width_px ||
                  plan->size.height_px > plan->region.height_px;
    assert(plan->size_is_upscaled == larger && (limits->allow_upscaling || !larger));
    assert(plan->rotation_deg >= 0 && plan->rotation_deg < 360);
    check_window(plan, pyramid);
}

/* The canonical form is a request for the same plan and its own canonical form. */
static void check_canonical(const struct iiif_plan *plan, const struct image_pyramid *pyramid,
                            const struct iiif_limits *limits)
{
    char path[IIIF_CANONICAL_BYTES + 2] = "a/", again[IIIF_CANONICAL_BYTES];
    struct iiif_request request;
    struct iiif_plan second;
    struct err err;
    iiif_plan_canonical(plan, path + 2);
    assert(strlen(path) < sizeof path - 1);
    assert(iiif_request_parse(plan->version, path, strlen(path), &request, &err) == RC_OK);
    assert(iiif_plan_make(&request, pyramid, limits, &second, &err) == RC_OK);
    iiif_plan_canonical(&second, again);
    assert(strcmp(path + 2, again) == 0);
    assert(second.level == plan->level && second.exact == plan->exact &&
           second.rotation_deg == plan->rotation_deg);
    assert(second.size.width_px == plan->size.width_px && second.size.height_px == plan->size.height_px);
    assert(second.window_width_px == plan->window_width_px &&
           second.window_height_px == plan->window_height_px);
}

static void check_identifier(const struct iiif_request *request)
{
    struct iiif_identifier identifier;
    struct err err;
    enum rc rc = iiif_identifier_read(request->identifier, &identifier, &err);
    if (rc != RC_OK) {
        assert(rc == RC_NOT_FOUND);
        check_sentence(&err, rc);
        return;
    }
    assert(identifier.page >= 1 && identifier.path[0] != '\0' && identifier.path[0] != '/');
    assert(identifier.path[0] != '.' && strstr(identifier.path, "/.") == NULL &&
           strstr(identifier.path, "//") == NULL);
    assert(identifier.path[strlen(identifier.path) - 1] != '/');
}

static void check_info(const struct iiif_request *request, const struct image_pyramid *pyramid,
                       const struct iiif_limits *limits)
{
    struct bytes out = {0};
    struct err err;
    enum rc rc = iiif_info_json(request->version, request->raw_identifier, pyramid, limits, &out, &err);
    assert(rc == RC_OK ? out.length > 2 && out.data[0] == '{' && out.data[out.length - 1] == '}'
                       : out.length == 0);
    if (rc != RC_OK)
        check_sentence(&err, RC_BAD_REQUEST);
    bytes_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    enum iiif_version version = data[0] == '2' ? IIIF_2 : IIIF_3;
    const struct image_pyramid *pyramid = &pictures[(uint8_t)(data[1] - 'a') % COUNT(pictures)];
    const struct iiif_limits *limits = &bounds[(uint8_t)(data[2] - 'a') % COUNT(bounds)];
    struct iiif_request request;
    struct iiif_plan plan;
    struct err err;
    enum rc rc = iiif_request_parse(version, (const char *)data + 3, size - 3, &request, &err);
    if (rc != RC_OK) {
        assert(rc == RC_BAD_REQUEST || rc == RC_NOT_FOUND);
        check_sentence(&err, rc);
        return 0;
    }
    assert(request.identifier[0] != '\0' && strlen(request.identifier) <= strlen(request.raw_identifier));
    check_identifier(&request);
    if (request.what != IIIF_IMAGE) {
        check_info(&request, pyramid, limits);
        return 0;
    }
    rc = iiif_plan_make(&request, pyramid, limits, &plan, &err);
    if (rc == RC_OK) {
        check_plan(&plan, pyramid, limits);
        check_canonical(&plan, pyramid, limits);
    } else {
        assert(rc == RC_BAD_REQUEST ||
               (rc == RC_UNSUPPORTED && !limits->allow_upscaling && version == IIIF_3));
        check_sentence(&err, rc);
    }
    return 0;
}
