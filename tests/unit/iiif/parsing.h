/* For the tests of iiif/request: text that is parsed, and text that has to be refused. */
#ifndef TESTS_UNIT_IIIF_PARSING_H
#define TESTS_UNIT_IIIF_PARSING_H

#include "worker/iiif/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum rc parse(enum iiif_version version, const char *path, struct iiif_request *request,
                     struct err *err)
{
    /* Exactly as large as the text, so that the sanitizer sees a read past its end. */
    size_t length = strlen(path);
    char *copy = malloc(length + (length == 0));
    for (size_t i = 0; i < length; i++)
        copy[i] = path[i];
    enum rc rc = iiif_request_parse(version, copy, length, request, err);
    free(copy);
    return rc;
}

static void parsed(enum iiif_version version, const char *path, struct iiif_request *request)
{
    struct err err = {0};
    if (parse(version, path, request, &err) != RC_OK)
        fail_msg("%s: %s", path, err.message);
    assert_int_equal(request->version, version);
}

static void assert_refused(enum iiif_version version, const char *path, enum rc rc, const char *named)
{
    struct iiif_request request;
    struct err err = {0};
    memset(&request, 0x5a, sizeof request);
    enum rc found = parse(version, path, &request, &err);
    if (found != rc || err.rc != rc)
        fail_msg("version %d, %s: code %d and not %d: %s", version, path, found, rc, err.message);
    if (strstr(err.message, named) == NULL)
        fail_msg("version %d, %s: '%s' does not name '%s'", version, path, err.message, named);
    for (const char *c = err.message; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            fail_msg("%s: the sentence is not printable ASCII", path);
    for (size_t i = 0; i < sizeof request; i++)
        if (((const unsigned char *)&request)[i] != 0x5a)
            fail_msg("%s: a failure wrote its output", path);
}

#endif
