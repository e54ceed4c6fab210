#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef err_set /* err.h: a macro for the analyzer */
#undef err_set_errno

__attribute__((format(printf, 4, 0))) static void err_write(struct err *err, enum rc rc, int os_errno,
                                                            const char *format, va_list args)
{
    err->rc = rc;
    err->os_errno = os_errno;
    err->retry_s = 0;
    int length = vsnprintf(err->message, sizeof err->message, format, args);
    if (os_errno != 0 && length >= 0 && (size_t)length < sizeof err->message) {
        char text[96];
        snprintf(err->message + length, sizeof err->message - (size_t)length, ": %s",
                 strerror_r(os_errno, text, sizeof text));
    }
    /* The sentence goes into logs and answers: bytes from URLs and files must not break a line there. */
    for (char *c = err->message; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

enum rc err_set(struct err *err, enum rc rc, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err_write(err, rc, 0, format, args);
        va_end(args);
    }
    return rc;
}

enum rc err_set_errno(struct err *err, enum rc rc, int os_errno, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err_write(err, rc, os_errno, format, args);
        va_end(args);
    }
    return rc;
}
