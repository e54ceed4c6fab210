#include "worker/image/tiff_failure.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 4, 0))) static int on_error(TIFF *tiff, void *user, const char *module,
                                                          const char *format, va_list arguments)
{
    struct image_tiff_failure *failure = user;
    char text[160];

    (void)tiff;
    (void)module;
    vsnprintf(text, sizeof text, format, arguments);
    if (failure->rc == RC_OK)
        failure->rc = err_set(failure->err, RC_UNSUPPORTED, "%s: %s", failure->what, text);
    return 1;
}

static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments)
{
    (void)tiff;
    (void)user;
    (void)module;
    (void)format;
    (void)arguments;
    return 1;
}

TIFFOpenOptions *image_tiff_failure_options(struct image_tiff_failure *failure)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();

    if (options == NULL)
        return NULL;
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, failure);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, failure);
    return options;
}

enum rc image_tiff_failure_rc(struct image_tiff_failure *failure, const char *sentence)
{
    return failure->rc != RC_OK ? failure->rc : err_set(failure->err, RC_NO_MEMORY, "%s", sentence);
}
