#include "master/warm.h"

#include "base/own.h"
#include "master/ask.h"

#include <string.h>
#include <time.h>

#define AGAIN_S     2
#define MOST_AGAIN  300
#define MOST_DIGITS 6

bool master_warm_are_sizes(const char *sizes)
{
    for (;; sizes++) {
        size_t digits = strspn(sizes, "0123456789");
        if (digits == 0 || digits > MOST_DIGITS || sizes[0] == '0')
            return false;
        sizes += digits;
        if (*sizes != ',')
            return *sizes == '\0';
    }
}

/* RFC 3986 §2.3: unreserved characters are as they are. */
static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

enum rc master_warm_append(struct bytes *target, const char *identifier, struct err *err)
{
    enum rc rc = RC_OK;
    for (const unsigned char *c = (const unsigned char *)identifier; *c != '\0' && rc == RC_OK; c++)
        rc = bytes_format(target, err, is_plain(*c) ? "%c" : "%%%02X", *c);
    return rc;
}

enum rc master_warm_one(const struct settings *settings, const char *target, unsigned *ret_status,
                        struct bytes *ret_body, struct err *err)
{
    for (int again = 0;; again++) {
        OWN(bytes_done) struct bytes body = {0};
        unsigned status = 0;
        enum rc rc = master_ask(settings, "GET", target, &status, &body, err);
        if (rc != RC_OK)
            return rc;
        if (status == 503 && again < MOST_AGAIN) { /* visitors go first */
            nanosleep(&(struct timespec){.tv_sec = AGAIN_S}, NULL);
            continue;
        }
        *ret_status = status;
        *ret_body = body;
        body = (struct bytes){0};
        return RC_OK;
    }
}

enum rc master_warm_sizes(const char *identifier, const char *sizes,
                          enum rc (*one)(void *context, const char *target, struct err *err), void *context,
                          struct err *err)
{
    enum rc rc = RC_OK;
    while (*sizes != '\0' && rc == RC_OK) {
        OWN(bytes_done) struct bytes target = {0};
        size_t digits = strcspn(sizes, ",");
        rc = bytes_format(&target, err, "/iiif/3/");
        if (rc == RC_OK)
            rc = master_warm_append(&target, identifier, err);
        if (rc == RC_OK)
            rc = bytes_format(&target, err, "/full/%.*s,/0/default.jpg", (int)digits, sizes);
        if (rc == RC_OK)
            rc = one(context, (const char *)target.data, err);
        sizes += digits + (sizes[digits] == ',');
    }
    return rc;
}
