/* How everything in Vitrine fails: a result code for the program, a sentence for the person.
 *
 * A function that can fail returns `enum rc`, takes `struct err *` last and sets its outputs only on success.
 * The sentence is written once, by the function that knows the fact; callers pass it on untouched. Codes
 * exist where some caller acts differently on them; worker/http/status.h is the one place that turns them
 * into HTTP. Any thread, any process; owns nothing. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdint.h>

enum rc {
    RC_OK = 0,
    RC_BAD_REQUEST, /* the request's text or values are wrong: the sentence names the part */
    RC_NOT_FOUND,   /* no such image, page or route */
    RC_GONE,        /* there was one, and never will be again */
    RC_FORBIDDEN,   /* it exists and may not be had */
    RC_UNSUPPORTED, /* valid, but this server does not do it */
    RC_CORRUPT,     /* the source's bytes are not what they claim to be */
    RC_TOO_LARGE,   /* a source beyond the configured limits */
    RC_IO,          /* the operating system said no; err.os_errno says why */
    RC_NO_MEMORY,
    RC_BUSY,      /* come again later */
    RC_THROTTLED, /* the client has had its share: it is to come again later */
    RC_AWAY,      /* bytes of the source have to be fetched first (worker/image/blob.h) */
    RC_ORIGIN,    /* the store that holds the source failed, or does not let us in */
    RC_LATE,      /* it did not answer in time */
    RC_CANCELLED, /* nobody waits for the result any more */
};

struct err {
    enum rc rc;
    int os_errno;      /* 0 where the system had no part in it */
    uint32_t retry_s;  /* of RC_BUSY: when to come again, set by who knows it; else 0 */
    char message[256]; /* one plain sentence without a full stop or line end; always terminated */
};

/* Writes the sentence and returns `rc`, so that failing is one statement: return err_set(err, RC_CORRUPT,
 * ...). `err` may be NULL for callers that need only the code. Control bytes in arguments are replaced by
 * '?'. */
enum rc err_set(struct err *err, enum rc rc, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* The same for a failed system call: appends ": " and the text of `os_errno`. */
enum rc err_set_errno(struct err *err, enum rc rc, int os_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));

#ifdef __clang_analyzer__ /* which reads one file at a time, and would take the result for anything, also for RC_OK */
#define err_set(err, rc, ...)                 ((void)err_set(err, rc, __VA_ARGS__), (rc))
#define err_set_errno(err, rc, os_errno, ...) ((void)err_set_errno(err, rc, os_errno, __VA_ARGS__), (rc))
#endif

#define RC_MUST_USE __attribute__((warn_unused_result))

#endif
